/**
 * Objects under JSON Schemas that all hold. Properties come in the order in which they are declared. Where nothing is said about further
 * properties, those under `properties` are all there are; without that keyword any may come.
 */
import { ConstraintError } from '../util/errors.ts';
import { charactersOf, codePoints, complementOf, type CodePoints } from './code-points.ts';
import type { Expression } from './expression.ts';
import type { JsonText } from './json-text.ts';
import { mustEscape } from './json-text.ts';
import type { SchemaContext } from './json-schema.ts';
import { child, countOf, isSchemaObject, unsupported, type SchemaPart } from './schema-document.ts';
import type { Term } from './schema-terms.ts';

const MAX_PROPERTIES = 1000;

/** What one schema says of properties; `additional` is undefined where it says nothing. */
type OwnProperties = {
  declared: ReadonlyMap<string, boolean | SchemaPart>;
  additional: boolean | SchemaPart | undefined;
};

/** Object texts that all of `term` allow; `never` if there are none. */
export function objectExpression(context: SchemaContext, term: Term): Expression {
  const { json } = context;
  const { table } = json;
  const own = term.map((part) => ownProperties(context, part));
  const required: ReadonlySet<string> = new Set(term.flatMap(requiredNames));
  const names = [...new Set([...own.flatMap(({ declared }) => [...declared.keys()]), ...required])];
  if (names.length > MAX_PROPERTIES) {
    throw unsupported(term[0]!, 'properties', `at most ${MAX_PROPERTIES} properties are`);
  }
  const isDeclared = names.length > 0 || term.some(({ schema }) => schema['properties'] !== undefined);
  const isClosed = isDeclared && own.every(({ additional }) => additional === undefined);
  const others = isClosed ? table.never : context.expression(own.map(({ additional }) => additional ?? true));
  const members = names.map((name) => {
    const value = context.expression(own.map(({ declared, additional }) => declared.get(name) ?? additional ?? true));
    return { pair: table.sequence(json.literal(name), json.colon, value), isRequired: required.has(name) };
  });
  const isOpen = others.kind !== 'never';
  const limits = countLimits(term, required.size, names.length, isOpen);
  const other = table.sequence(otherKey(json, names), json.colon, others);
  const some = membersExpression(json, members, other, limits.maxOthers);
  const mayBeEmpty = required.size === 0 && !limits.needsOne;
  return table.scope(
    table.choice(
      mayBeEmpty ? table.literal('{}') : table.never,
      limits.isEmpty ? table.never : json.bracketed('{', some, '}'),
    ),
  );
}

type Member = { pair: Expression; isRequired: boolean };

/** One member or more: `members` in their order, then at most `maxOthers` others. */
function membersExpression(
  json: JsonText,
  members: readonly Member[],
  other: Expression,
  maxOthers: number,
): Expression {
  const { table, comma } = json;
  // What may come where there are members before, and where there are none; from the end.
  let afterSome = table.repeat(table.sequence(comma, other), 0, maxOthers);
  let atFirst = table.sequence(other, table.repeat(table.sequence(comma, other), 0, maxOthers - 1));
  for (const { pair, isRequired } of members.toReversed()) {
    const first = table.sequence(pair, afterSome);
    const next = table.sequence(comma, pair, afterSome);
    atFirst = isRequired ? first : table.choice(first, atFirst);
    afterSome = isRequired ? next : table.choice(next, afterSome);
  }
  return atFirst;
}

/** Counting members is supported where it follows from what is required and declared, or where all keys are free. */
function countLimits(term: Term, numRequired: number, numDeclared: number, isOpen: boolean) {
  let maxOthers = Infinity;
  let needsOne = false;
  let isEmpty = false;
  for (const part of term) {
    const min = countOf(part, 'minProperties') ?? 0;
    const max = countOf(part, 'maxProperties') ?? Infinity;
    if (min > Math.max(1, numRequired)) {
      throw unsupported(part, 'minProperties', 'it is more than the properties that are required; require them');
    }
    needsOne ||= min > 0;
    if (max >= numDeclared && !isOpen) continue;
    if (max === 0) isEmpty = true;
    else if (numDeclared === 0) maxOthers = Math.min(maxOthers, max);
    else if (max !== Infinity) {
      throw unsupported(
        part,
        'maxProperties',
        'declared properties are not counted; make them required or leave it out',
      );
    }
  }
  return { maxOthers, needsOne, isEmpty };
}

function ownProperties({ document }: SchemaContext, part: SchemaPart): OwnProperties {
  const { schema, pointer } = part;
  const { properties = {}, patternProperties = {}, additionalProperties } = schema;
  if (!isSchemaObject(properties)) throw mustBe(part, 'properties', 'an object');
  if (!isSchemaObject(patternProperties) || Object.keys(patternProperties).length > 0) {
    throw unsupported(part, 'patternProperties', 'declare the properties, or use additionalProperties');
  }
  const at = child(pointer, 'properties');
  return {
    declared: new Map(
      Object.entries(properties).map(([name, schemaOf]) => [name, document.schema(schemaOf, child(at, name))]),
    ),
    additional:
      additionalProperties === undefined
        ? undefined
        : document.schema(additionalProperties, child(pointer, 'additionalProperties')),
  };
}

function requiredNames(part: SchemaPart): string[] {
  const required = part.schema['required'] ?? [];
  if (!Array.isArray(required) || required.some((name) => typeof name !== 'string')) {
    throw mustBe(part, 'required', 'a list of names');
  }
  return required as string[];
}

function mustBe({ pointer }: SchemaPart, keyword: string, what: string): ConstraintError {
  return new ConstraintError(`At ${child(pointer, keyword)} there must be ${what}.`, child(pointer, keyword));
}

/**
 * A key that is none of `names`. As long as it could become one of them it has no escapes, so that no name can hide behind them.
 */
function otherKey(json: JsonText, names: readonly string[]): Expression {
  if (names.length === 0) return json.string;
  const readable = names.filter((name) => [...name].every((character) => !mustEscape(character.codePointAt(0)!)));
  return json.stringOf(
    keyRest(
      json,
      readable.map((name) => Array.from(name)),
      0,
    ),
  );
}

function keyRest(json: JsonText, names: readonly (readonly string[])[], at: number): Expression {
  const { table } = json;
  const nexts = new Map<string, (readonly string[])[]>();
  for (const name of names) {
    const next = name[at];
    if (next === undefined) continue;
    if (nexts.has(next)) nexts.get(next)!.push(name);
    else nexts.set(next, [name]);
  }
  const free = table.repeat(json.stringCharacter, 0, Infinity);
  const taken: CodePoints = charactersOf([...nexts.keys()].join(''));
  const elsewhere = complementOf(codePoints([...taken, [0, 0x1f], ...charactersOf('"\\')]));
  const options = [table.sequence(json.characterOf(elsewhere), free)];
  for (const [character, same] of nexts) {
    options.push(table.sequence(table.literal(character), keyRest(json, same, at + 1)));
  }
  const isName = names.some((name) => name.length === at);
  return table.choice(...options, isName ? table.never : table.empty);
}
