/**
 * A JSON Schema as a document: its size, its keywords, and what references point to. Knows nothing of texts.
 * Source: JSON Schema draft 2020-12, and draft 7 where it differs.
 */
import { ConstraintError } from '../util/errors.ts';

/** A schema that is an object, and where it stands in the document. */
export type SchemaPart = { readonly schema: SchemaObject; readonly pointer: string };
export type SchemaObject = Readonly<Record<string, unknown>>;

const MAX_DEPTH = 100;
const MAX_VALUES = 50_000;

const ASSERTIONS = [
  'type nullable enum const allOf anyOf oneOf $ref',
  'properties required additionalProperties minProperties maxProperties patternProperties',
  'items prefixItems additionalItems minItems maxItems uniqueItems',
  'minLength maxLength pattern format',
  'minimum maximum exclusiveMinimum exclusiveMaximum multipleOf',
].flatMap((line) => line.split(' '));
const ANNOTATIONS = [
  '$schema $id id $comment $anchor $defs definitions title description default example examples',
  'deprecated readOnly writeOnly discriminator contentEncoding contentMediaType contentSchema',
].flatMap((line) => line.split(' '));
const KNOWN: ReadonlySet<string> = new Set([...ASSERTIONS, ...ANNOTATIONS]);
const ASSERTION_SET: ReadonlySet<string> = new Set(ASSERTIONS);

export class SchemaDocument {
  readonly root: unknown;
  readonly #rootId: string | null;
  readonly #parts = new Map<SchemaObject, SchemaPart>();

  /** Refuses documents that are too large or too deep. */
  constructor(root: unknown) {
    this.root = root;
    checkSize(root);
    this.#rootId = isSchemaObject(root) && typeof root['$id'] === 'string' ? root['$id'].replace(/#$/, '') : null;
  }

  /** `value` as a schema: true, false, or an object whose keywords are all known; the same part for the same object. */
  schema(value: unknown, pointer: string): boolean | SchemaPart {
    if (typeof value === 'boolean') return value;
    const known = this.#parts.get(value as SchemaObject);
    if (known !== undefined) return known;
    if (!isSchemaObject(value))
      throw new ConstraintError(`At ${shown(pointer)} there must be a schema: an object or a boolean.`, pointer);
    for (const keyword of Object.keys(value)) {
      if (KNOWN.has(keyword) || keyword.startsWith('x-')) continue;
      throw new ConstraintError(`The keyword at ${child(pointer, keyword)} is not supported.`, child(pointer, keyword));
    }
    if (pointer !== '' && typeof value['$id'] === 'string') {
      throw new ConstraintError(`Schemas within schemas cannot have an $id, as at ${pointer}.`, child(pointer, '$id'));
    }
    const part = { schema: value, pointer };
    this.#parts.set(value, part);
    return part;
  }

  /** What the $ref at `pointer` points to, in this document. */
  resolve(reference: unknown, pointer: string): boolean | SchemaPart {
    const fail = (why: string) => new ConstraintError(`The reference at ${pointer} ${why}.`, pointer);
    if (typeof reference !== 'string') throw fail('must be a string');
    const isLocal = this.#rootId !== null && reference.startsWith(`${this.#rootId}#`);
    const fragment = isLocal ? reference.slice(this.#rootId!.length) : reference;
    if (fragment !== '#' && !fragment.startsWith('#/')) {
      throw fail('is not supported: only references into the same schema are, as "#/$defs/name"');
    }
    let value: unknown = this.root;
    for (const step of fragment.split('/').slice(1)) {
      const name = unescaped(step);
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) throw fail('points to nothing');
      value = (value as SchemaObject)[name];
    }
    return this.schema(value, fragment.slice(1));
  }
}

/** Whether a part asserts more than the keywords of `except`. */
export function assertsMore({ schema }: SchemaPart, except: readonly string[]): boolean {
  return Object.keys(schema).some((keyword) => ASSERTION_SET.has(keyword) && !except.includes(keyword));
}

/** The pointer of a member. */
export function child(pointer: string, name: string | number): string {
  return `${pointer}/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

/** A pointer for messages: the whole has an empty one. */
export function shown(pointer: string): string {
  return pointer === '' ? 'the top' : pointer;
}

export function isSchemaObject(value: unknown): value is SchemaObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value of a keyword that counts something; undefined where it is absent. */
export function countOf({ schema, pointer }: SchemaPart, keyword: string): number | undefined {
  const value = schema[keyword];
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return value;
  throw new ConstraintError(
    `At ${child(pointer, keyword)} there must be an integer that is not negative.`,
    child(pointer, keyword),
  );
}

/** The value of a keyword that is a finite number; undefined where it is absent. */
export function numberOf({ schema, pointer }: SchemaPart, keyword: string): number | undefined {
  const value = schema[keyword];
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw new ConstraintError(`At ${child(pointer, keyword)} there must be a number.`, child(pointer, keyword));
}

/** A refusal of a keyword, saying what to do about it. */
export function unsupported({ pointer }: SchemaPart, keyword: string, why: string): ConstraintError {
  return new ConstraintError(
    `${keyword} at ${child(pointer, keyword)} is not supported: ${why}.`,
    child(pointer, keyword),
  );
}

function unescaped(step: string): string {
  try {
    return decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~');
  } catch {
    return step;
  }
}

function checkSize(root: unknown): void {
  const work: { value: unknown; depth: number }[] = [{ value: root, depth: 0 }];
  let numValues = 0;
  for (let next = work.pop(); next !== undefined; next = work.pop()) {
    const { value, depth } = next;
    if (typeof value !== 'object' || value === null) continue;
    const members = Object.values(value);
    numValues += members.length;
    if (depth > MAX_DEPTH || numValues > MAX_VALUES) {
      throw new ConstraintError(
        `The schema is too large: at most ${MAX_DEPTH} levels and ${MAX_VALUES} values are read.`,
        '',
      );
    }
    for (const member of members) work.push({ value: member, depth: depth + 1 });
  }
}
