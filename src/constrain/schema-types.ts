/**
 * The types a JSON Schema allows, and the values it lists.
 */
import { ConstraintError } from '../util/errors.ts';
import { child, type SchemaPart } from './schema-document.ts';

export type JsonType = 'null' | 'boolean' | 'integer' | 'number' | 'string' | 'array' | 'object';

const ALL_TYPES: readonly JsonType[] = ['object', 'array', 'string', 'number', 'boolean', 'null'];
const NAMES: ReadonlySet<unknown> = new Set([...ALL_TYPES, 'integer']);

/** Types that all of `parts` allow; 'number' stands for integers too. */
export function typesOf(parts: readonly SchemaPart[]): ReadonlySet<JsonType> {
  let types: ReadonlySet<JsonType> = new Set(ALL_TYPES);
  for (const part of parts) types = bothTypes(types, ownTypes(part));
  return types;
}

function ownTypes({ schema, pointer }: SchemaPart): ReadonlySet<JsonType> {
  const { type, nullable } = schema;
  if (type === undefined) return new Set(ALL_TYPES);
  const names: readonly unknown[] = Array.isArray(type) ? type : [type];
  if (names.length === 0 || names.some((name) => !NAMES.has(name))) {
    const at = child(pointer, 'type');
    throw new ConstraintError(`At ${at} there must be a type of JSON: ${[...NAMES].join(', ')}.`, at);
  }
  const types = new Set(names as readonly JsonType[]);
  if (nullable === true) types.add('null');
  if (types.has('number')) types.delete('integer');
  return types;
}

function bothTypes(a: ReadonlySet<JsonType>, b: ReadonlySet<JsonType>): ReadonlySet<JsonType> {
  const both = new Set<JsonType>();
  for (const type of a) {
    if (b.has(type)) both.add(type);
    else if (type === 'number' && b.has('integer')) both.add('integer');
    else if (type === 'integer' && b.has('number')) both.add('integer');
  }
  return both;
}

/** The type of a value. */
export function typeOf(value: unknown): JsonType {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  const type = typeof value;
  if (type === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return type as JsonType;
}

/** Whether a type of a value is among those allowed. */
export function isAllowedType(types: ReadonlySet<JsonType>, type: JsonType): boolean {
  return types.has(type) || (type === 'integer' && types.has('number'));
}

/** Values that all enum and const of `parts` list; null if none of them lists any. */
export function listedValues(parts: readonly SchemaPart[]): unknown[] | null {
  let listed: unknown[] | null = null;
  for (const { schema, pointer } of parts) {
    if (schema['enum'] !== undefined && !Array.isArray(schema['enum'])) {
      throw new ConstraintError(`At ${child(pointer, 'enum')} there must be a list of values.`, child(pointer, 'enum'));
    }
    const lists = [schema['enum'] as unknown[] | undefined, 'const' in schema ? [schema['const']] : undefined];
    for (const list of lists) {
      if (list === undefined) continue;
      const keys: ReadonlySet<string> = new Set(list.map(valueKey));
      listed = listed === null ? list : listed.filter((value) => keys.has(valueKey(value)));
    }
  }
  return listed;
}

/** The same text for equal values, whatever the order of their members. */
export function valueKey(value: unknown): string {
  return JSON.stringify(value, (_name, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}
