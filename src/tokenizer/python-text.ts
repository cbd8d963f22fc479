/**
 * Two things chat templates do the way Python does them: strip white space and write JSON.
 */

// str.isspace: Unicode White_Space and U+001C to U+001F. JavaScript's trim differs in U+0085, U+FEFF and these.
const SPACES = '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';
const LEADING = new RegExp(`^${SPACES}+`);
const TRAILING = new RegExp(`(?<!${SPACES})${SPACES}+$`);

/** str.strip of Python. */
export function pythonStrip(text: string): string {
  return text.replace(LEADING, '').replace(TRAILING, '');
}

/** json.dumps of Python with ensure_ascii=False, on one line or indented. */
export function pythonJson(value: unknown, indent: number | null = null, depth = 0): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const isList = Array.isArray(value);
  const items = isList
    ? value.map((item: unknown) => pythonJson(item, indent, depth + 1))
    : Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${pythonJson(item, indent, depth + 1)}`);
  const [open, close] = isList ? '[]' : '{}';
  if (items.length === 0) return `${open}${close}`;
  if (indent === null) return `${open}${items.join(', ')}${close}`;
  const padding = `\n${' '.repeat(indent * depth)}`;
  const inner = padding + ' '.repeat(indent);
  return `${open}${inner}${items.join(`,${inner}`)}${padding}${close}`;
}
