/**
 * JSON Schemas as expressions over bytes: the JSON texts that are valid, or a part of them where the whole cannot be described. What cannot
 * be kept to exactly is refused with its JSON pointer, never passed over.
 */
import { ConstraintError } from '../util/errors.ts';
import type { Expression, Rule } from './expression.ts';
import type { JsonText } from './json-text.ts';
import { literals } from './literals.ts';
import { accepts, type Matcher } from './matcher.ts';
import { arrayExpression } from './schema-array.ts';
import { assertsMore, SchemaDocument, shown, type SchemaObject, type SchemaPart } from './schema-document.ts';
import { objectExpression } from './schema-object.ts';
import { numericExpression, stringExpression } from './schema-scalar.ts';
import { SchemaTerms, type Term } from './schema-terms.ts';
import { isAllowedType, listedValues, typeOf, typesOf, type JsonType } from './schema-types.ts';

/** What the writers of arrays and objects need of the whole. */
export interface SchemaContext {
  readonly json: JsonText;
  readonly document: SchemaDocument;
  readonly matcher: Matcher;
  /** Values that satisfy all of `parts`; `never` if there are none. */
  expression(parts: readonly (boolean | SchemaPart)[]): Expression;
}

/** JSON texts that are valid under `schema`, and under `also` if given. */
export function jsonSchemaExpression(
  json: JsonText,
  matcher: Matcher,
  schema: unknown,
  also: SchemaObject = {},
): Expression {
  return new SchemaCompiler(json, matcher, new SchemaDocument(schema)).compile(also);
}

/** An expression on its way: a rule stands for it where it occurs in itself. */
type Entry = { expression: Expression | null; rule: Rule | null; pointer: string };

class SchemaCompiler implements SchemaContext {
  readonly json: JsonText;
  readonly document: SchemaDocument;
  readonly matcher: Matcher;
  readonly #terms: SchemaTerms;
  readonly #entries = new Map<string, Entry>();
  readonly #ids = new Map<SchemaPart, number>();

  constructor(json: JsonText, matcher: Matcher, document: SchemaDocument) {
    this.json = json;
    this.matcher = matcher;
    this.document = document;
    this.#terms = new SchemaTerms(document);
  }

  compile(also: SchemaObject): Expression {
    const root = this.expression([this.document.schema(this.document.root, ''), this.document.schema(also, '')]);
    this.#refuseEndless();
    if (root.kind === 'never') throw new ConstraintError('No value satisfies the schema.', '');
    return root;
  }

  expression(parts: readonly (boolean | SchemaPart)[]): Expression {
    const terms = this.#terms.all(parts);
    if (terms.some((term) => term.length === 0)) return this.json.value;
    const key = terms.map((term) => this.#key(term)).join('|');
    const known = this.#entries.get(key);
    if (known !== undefined) return known.expression ?? this.#recursion(known);
    const entry: Entry = { expression: null, rule: null, pointer: terms[0]?.[0]?.pointer ?? '' };
    this.#entries.set(key, entry);
    const made = this.json.table.choice(...terms.map((term) => this.#term(term)));
    if (entry.rule === null) {
      entry.expression = made;
    } else {
      entry.rule.body = made;
      entry.expression = this.json.table.call(entry.rule);
    }
    return entry.expression;
  }

  #recursion(entry: Entry): Expression {
    entry.rule ??= this.json.table.rule(entry.pointer);
    return this.json.table.call(entry.rule);
  }

  #key(term: Term): string {
    return term
      .map((part) => {
        const id = this.#ids.get(part) ?? this.#ids.size;
        this.#ids.set(part, id);
        return id;
      })
      .join('&');
  }

  #term(term: Term): Expression {
    const types = typesOf(term);
    const values = listedValues(term);
    if (values !== null) return this.#listed(term, values, types);
    return this.json.table.choice(...Array.from(types, (type) => this.#typed(term, type)));
  }

  #typed(term: Term, type: JsonType): Expression {
    const { json } = this;
    switch (type) {
      case 'null':
        return json.literal(null);
      case 'boolean':
        return json.table.choice(json.literal(true), json.literal(false));
      case 'integer':
      case 'number':
        return numericExpression(json, term, type);
      case 'string':
        return stringExpression(json, term);
      case 'array':
        return arrayExpression(this, term);
      case 'object':
        return objectExpression(this, term);
    }
  }

  /** Those of the listed values that the other keywords allow too. */
  #listed(term: Term, values: readonly unknown[], types: ReadonlySet<JsonType>): Expression {
    const { json } = this;
    const others = term.filter((part) => assertsMore(part, ['enum', 'const', 'type', 'nullable']));
    const options = values
      .filter((value) => isAllowedType(types, typeOf(value)))
      .map((value) => ({ type: typeOf(value), text: JSON.stringify(value) }))
      .filter(({ type, text }) => others.length === 0 || accepts(this.matcher, this.#typed(others, type), text));
    return literals(
      json.table,
      options.map(({ text }) => text),
    );
  }

  /** Refuses schemas that only endless values satisfy. */
  #refuseEndless(): void {
    const rules = [...this.#entries.values()].filter(({ rule }) => rule !== null);
    const open = new Set<Rule | null>(rules.map(({ rule }) => rule));
    const ending = new Set<Rule | null>();
    for (let before = -1; before !== ending.size;) {
      before = ending.size;
      for (const { rule } of rules)
        if (canComeToAnEnd(rule!.body!, (called) => !open.has(called) || ending.has(called))) ending.add(rule);
    }
    for (const { rule, pointer } of rules) {
      if (ending.has(rule)) continue;
      throw new ConstraintError(`Only endless values satisfy the schema at ${shown(pointer)}.`, pointer);
    }
  }
}

function canComeToAnEnd(
  expression: Expression,
  endsRule: (rule: Rule) => boolean,
  seen = new Map<Expression, boolean>(),
): boolean {
  const known = seen.get(expression);
  if (known !== undefined) return known;
  const ends = (inner: Expression) => canComeToAnEnd(inner, endsRule, seen);
  let answer: boolean;
  switch (expression.kind) {
    case 'never':
      answer = false;
      break;
    case 'sequence': {
      // A loop, because literals may be long.
      let list: Expression = expression;
      for (answer = true; answer && list.kind === 'sequence'; list = list.rest) answer = ends(list.first);
      answer &&= ends(list);
      break;
    }
    case 'choice':
      answer = expression.options.some(ends);
      break;
    case 'repeat':
      answer = expression.min === 0 || ends(expression.body);
      break;
    case 'call':
      // A scope holds what it is made of; other rules that are not of this schema end.
      answer = expression.rule.isScope ? ends(expression.rule.body!) : endsRule(expression.rule);
      break;
    default:
      answer = true;
  }
  seen.set(expression, answer);
  return answer;
}
