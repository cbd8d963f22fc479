/**
 * Whether no value can satisfy two JSON Schemas at once, where that is plain to see: types, listed values, a property that tells.
 */
import { child, isSchemaObject, type SchemaDocument, type SchemaPart } from './schema-document.ts';
import type { Term } from './schema-terms.ts';
import { isAllowedType, listedValues, typeOf, typesOf, valueKey, type JsonType } from './schema-types.ts';

type TermsOf = (parts: readonly (boolean | SchemaPart)[]) => readonly Term[];

const MAX_DEPTH = 3;

/** True if it is certain that no value satisfies an alternative of `a` and one of `b`. */
export function areDisjoint(
  a: readonly Term[],
  b: readonly Term[],
  termsOf: TermsOf,
  document: SchemaDocument,
  depth = 0,
): boolean {
  return a.every((term) => b.every((other) => termsAreDisjoint(term, other, termsOf, document, depth)));
}

function termsAreDisjoint(a: Term, b: Term, termsOf: TermsOf, document: SchemaDocument, depth: number): boolean {
  const kinds = sharedKinds(a, b);
  const valuesA = listedValues(a);
  const valuesB = listedValues(b);
  if (valuesA !== null && valuesB !== null) {
    const keys: ReadonlySet<string> = new Set(valuesA.map(valueKey));
    if (!valuesB.some((value) => keys.has(valueKey(value)))) return true;
  }
  const values = valuesA ?? valuesB;
  if (values !== null) {
    const other = typesOf(valuesA === null ? a : b);
    if (!values.some((value) => isAllowedType(other, typeOf(value)))) return true;
  }
  if (kinds.length === 0) return true;
  if (kinds.length > 1 || kinds[0] !== 'object' || depth >= MAX_DEPTH) return false;
  const names: ReadonlySet<string> = new Set([...requiredOf(a), ...requiredOf(b)]);
  return [...names].some((name) => {
    const ownA = propertySchemas(a, name, document);
    const ownB = propertySchemas(b, name, document);
    const bothRequire = requiredOf(a).includes(name) && requiredOf(b).includes(name);
    if (ownA.includes(false) || ownB.includes(false)) return true;
    return bothRequire && areDisjoint(termsOf(ownA), termsOf(ownB), termsOf, document, depth + 1);
  });
}

/** Types a value of both could have; integers count as numbers. */
function sharedKinds(a: Term, b: Term): JsonType[] {
  const other = kindsOf(b);
  return [...kindsOf(a)].filter((kind) => other.has(kind));
}

function kindsOf(term: Term): ReadonlySet<JsonType> {
  return new Set(Array.from(typesOf(term), (type) => (type === 'integer' ? 'number' : type)));
}

function requiredOf(term: Term): string[] {
  return term.flatMap(({ schema }) => (Array.isArray(schema['required']) ? (schema['required'] as string[]) : []));
}

function propertySchemas(term: Term, name: string, document: SchemaDocument): (boolean | SchemaPart)[] {
  return term.map(({ schema, pointer }) => {
    const { properties, additionalProperties } = schema;
    if (isSchemaObject(properties) && Object.hasOwn(properties, name)) {
      return document.schema(properties[name], child(child(pointer, 'properties'), name));
    }
    if (schema['patternProperties'] !== undefined) return true;
    return document.schema(additionalProperties ?? true, child(pointer, 'additionalProperties'));
  });
}
