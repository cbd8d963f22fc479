/**
 * Arrays under JSON Schemas that all hold.
 */
import type { Expression } from './expression.ts';
import type { SchemaContext } from './json-schema.ts';
import { child, countOf, unsupported, type SchemaPart } from './schema-document.ts';
import type { Term } from './schema-terms.ts';

type Items = { prefix: readonly (boolean | SchemaPart)[]; rest: boolean | SchemaPart };

const MAX_PREFIX = 1000;

/** Array texts that all of `term` allow; `never` if there are none. */
export function arrayExpression(context: SchemaContext, term: Term): Expression {
  const { json } = context;
  const { table } = json;
  const min = Math.max(0, ...term.map((part) => countOf(part, 'minItems') ?? 0));
  const max = Math.min(Infinity, ...term.map((part) => countOf(part, 'maxItems') ?? Infinity));
  for (const part of term) {
    if (part.schema['uniqueItems'] === true && max > 1) {
      throw unsupported(part, 'uniqueItems', 'whether items are equal is not looked at');
    }
  }
  if (min > max) return table.never;
  const items = term.map((part) => itemsOf(context, part));
  const numPrefix = Math.min(max, Math.max(0, ...items.map(({ prefix }) => prefix.length)));
  const rest = max > numPrefix ? context.expression(items.map((own) => own.rest)) : table.never;
  // From the end: what may follow after `count` items.
  let after = restOfItems(context, rest, numPrefix, Math.max(min - numPrefix, 0), max - numPrefix);
  for (let at = numPrefix - 1; at >= 0; at--) {
    const item = context.expression(items.map(({ prefix, rest: own }) => prefix[at] ?? own));
    const withItem = table.sequence(at === 0 ? table.empty : json.comma, item, after);
    // The first item decides between [] and brackets with white space, below.
    after = at === 0 || at < min ? withItem : table.optional(withItem);
  }
  const some = after.kind === 'empty' ? table.never : json.bracketed('[', after, ']');
  return table.scope(table.choice(min === 0 ? table.literal('[]') : table.never, some));
}

/** Items after the prefix, with a comma before each but the first of all; `min` to `max` of them. */
function restOfItems(
  context: SchemaContext,
  item: Expression,
  numBefore: number,
  min: number,
  max: number,
): Expression {
  const { table, comma } = context.json;
  if (item.kind === 'never') return min === 0 && numBefore > 0 ? table.empty : table.never;
  const next = table.sequence(comma, item);
  if (numBefore > 0) return table.repeat(next, min, max);
  return table.sequence(item, table.repeat(next, Math.max(min - 1, 0), max - 1));
}

function itemsOf({ document }: SchemaContext, part: SchemaPart): Items {
  const { schema, pointer } = part;
  // Draft 7 writes a list under items and the rest under additionalItems.
  const isDraft7 = Array.isArray(schema['items']);
  const prefixKeyword = isDraft7 ? 'items' : 'prefixItems';
  const restKeyword = isDraft7 ? 'additionalItems' : 'items';
  if (isDraft7 && schema['prefixItems'] !== undefined) {
    throw unsupported(part, 'prefixItems', 'it stands beside a list under items, of an older draft');
  }
  const listed = schema[prefixKeyword] ?? [];
  if (!Array.isArray(listed) || listed.length > MAX_PREFIX) {
    throw unsupported(part, prefixKeyword, `it must be a list of at most ${MAX_PREFIX} schemas`);
  }
  const at = child(pointer, prefixKeyword);
  return {
    prefix: listed.map((schemaOf: unknown, i) => document.schema(schemaOf, child(at, i))),
    rest: document.schema(schema[restKeyword] ?? true, child(pointer, restKeyword)),
  };
}
