/**
 * A JSON Schema as alternatives, each a list of schemas that all hold: references, allOf, anyOf and oneOf are worked in here.
 */
import { ConstraintError } from '../util/errors.ts';
import { areDisjoint } from './schema-disjoint.ts';
import { assertsMore, child, SchemaDocument, type SchemaPart } from './schema-document.ts';

/** Schemas without references and combinations that all hold together; [] is any value. */
export type Term = readonly SchemaPart[];

const MAX_TERMS = 1000;
const MAX_REFERENCES = 100;

export class SchemaTerms {
  readonly #document: SchemaDocument;

  constructor(document: SchemaDocument) {
    this.#document = document;
  }

  /** The alternatives of schemas that must all hold; none if nothing can satisfy them. */
  all(parts: readonly (boolean | SchemaPart)[]): Term[] {
    return product(
      parts.map((part) => this.#one(part, 0)),
      parts,
    );
  }

  #one(part: boolean | SchemaPart, numReferences: number): Term[] {
    if (typeof part === 'boolean') return part ? [[]] : [];
    const { schema, pointer } = part;
    if (numReferences > MAX_REFERENCES) {
      throw new ConstraintError(`The reference at ${child(pointer, '$ref')} leads to itself.`, child(pointer, '$ref'));
    }
    const factors: Term[][] = [assertsMore(part, ['allOf', 'anyOf', 'oneOf', '$ref']) ? [[part]] : [[]]];
    if (schema['$ref'] !== undefined) {
      const target = this.#document.resolve(schema['$ref'], child(pointer, '$ref'));
      factors.push(this.#one(target, numReferences + 1));
    }
    for (const member of this.#members(part, 'allOf')) factors.push(this.#one(member, numReferences + 1));
    if (schema['anyOf'] !== undefined) {
      factors.push(this.#members(part, 'anyOf').flatMap((member) => this.#one(member, numReferences + 1)));
    }
    if (schema['oneOf'] !== undefined) factors.push(this.#oneOf(part, numReferences));
    return product(factors, [part]);
  }

  #oneOf(part: SchemaPart, numReferences: number): Term[] {
    const branches = this.#members(part, 'oneOf').map((member) => this.#one(member, numReferences + 1));
    for (const [i, branch] of branches.entries()) {
      for (const [j, other] of branches.slice(0, i).entries()) {
        if (areDisjoint(branch, other, (parts) => this.all(parts), this.#document)) continue;
        const pointer = child(part.pointer, 'oneOf');
        throw new ConstraintError(
          `oneOf at ${pointer} is supported where its branches exclude each other, and branches ${j} and ${i} may both hold; use anyOf.`,
          pointer,
        );
      }
    }
    return branches.flat();
  }

  #members({ schema, pointer }: SchemaPart, keyword: string): (boolean | SchemaPart)[] {
    const value = schema[keyword];
    if (value === undefined) return [];
    const at = child(pointer, keyword);
    if (!Array.isArray(value) || value.length === 0) {
      throw new ConstraintError(`At ${at} there must be a list of schemas.`, at);
    }
    return value.map((member: unknown, i) => this.#document.schema(member, child(at, i)));
  }
}

/** Every way to take one term of each factor. */
function product(factors: readonly Term[][], parts: readonly (boolean | SchemaPart)[]): Term[] {
  let terms: Term[] = [[]];
  for (const factor of factors) {
    if (terms.length * factor.length > MAX_TERMS) {
      const pointer = parts.find((part) => typeof part !== 'boolean')?.pointer ?? '';
      throw new ConstraintError(`The alternatives at ${pointer} multiply to more than ${MAX_TERMS}.`, pointer);
    }
    terms = terms.flatMap((term) => factor.map((other) => Array.from(new Set(term.concat(other)))));
  }
  return terms;
}
