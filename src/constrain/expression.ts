/**
 * What a reply may be, as expressions over bytes. Equal expressions are one object, so that what is worked out for one (which tokens
 * may come next) serves all constraints of a vocabulary. A rule may call itself: expressions with rules are context-free grammars.
 */
import { byteSet, unionOfBytes, type ByteSet } from './byte-set.ts';
import { ConstraintError } from '../util/errors.ts';

type Common = {
  readonly id: number;
  /** Whether it matches the empty string. */
  readonly isNullable: boolean;
};

export type Expression = Common &
  (
    | { readonly kind: 'never' }
    | { readonly kind: 'empty' }
    | { readonly kind: 'bytes'; readonly set: ByteSet }
    | { readonly kind: 'sequence'; readonly first: Expression; readonly rest: Expression }
    | { readonly kind: 'choice'; readonly options: readonly Expression[] }
    /** `max` is Infinity where there is no limit. */
    | { readonly kind: 'repeat'; readonly body: Expression; readonly min: number; readonly max: number }
    | { readonly kind: 'call'; readonly rule: Rule }
  );

/** A named expression that may be defined after it is used. Its own frame of the stack, so tokens within it are worked out once. */
export type Rule = {
  readonly name: string;
  readonly isNullable: boolean;
  /** It only puts its body, known from the beginning, into a frame. */
  readonly isScope: boolean;
  body: Expression | null;
};

type Shape = Expression extends infer E ? (E extends Expression ? Omit<E, keyof Common> : never) : never;

/** Expressions kept for sharing; beyond this, later constraints share nothing with earlier ones. */
const MAX_KEPT = 300_000;
/** Expressions one constraint may need: schemas and grammars that are written by people need some thousands. */
const MAX_PER_CONSTRAINT = 100_000;

export class ExpressionTable {
  readonly never: Expression;
  readonly empty: Expression;
  #byKey = new Map<string, Expression>();
  #scopes = new Map<Expression, Expression>();
  readonly #ruleIds = new WeakMap<Rule, number>();
  #nextId = 0;
  #budget = Infinity;

  constructor() {
    this.never = this.#intern('never', { kind: 'never' }, false);
    this.empty = this.#intern('empty', { kind: 'empty' }, true);
  }

  /** What `build` makes, within the limit on the size of one constraint. */
  build<T>(build: () => T): T {
    if (this.#byKey.size > MAX_KEPT) this.#forget();
    this.#budget = MAX_PER_CONSTRAINT;
    try {
      return build();
    } finally {
      this.#budget = Infinity;
    }
  }

  /** One byte of a set. */
  bytes(set: ByteSet): Expression {
    if (set.every((word) => word === 0)) return this.never;
    return this.#intern(`b${set.join()}`, { kind: 'bytes', set }, false);
  }

  byteRange(low: number, high: number): Expression {
    return this.bytes(byteSet([low, high]));
  }

  /** The UTF-8 bytes of a text. */
  literal(text: string): Expression {
    const parts = Array.from(new TextEncoder().encode(text), (byte) => this.byteRange(byte, byte));
    return this.sequence(...parts);
  }

  /** Parts one after the other. */
  sequence(...parts: readonly Expression[]): Expression {
    return parts.reduceRight((rest, first) => this.#pair(first, rest), this.empty);
  }

  /** One of the options. */
  choice(...options: readonly Expression[]): Expression {
    const flat = new Set<Expression>();
    for (const option of options) {
      if (option.kind === 'choice') for (const inner of option.options) flat.add(inner);
      else if (option.kind !== 'never') flat.add(option);
    }
    const merged = this.#mergeFirstBytes(flat);
    if (merged.length === 0) return this.never;
    if (merged.length === 1) return merged[0]!;
    merged.sort((a, b) => a.id - b.id);
    const isNullable = merged.some((option) => option.isNullable);
    return this.#intern(`c${merged.map(({ id }) => id).join()}`, { kind: 'choice', options: merged }, isNullable);
  }

  optional(body: Expression): Expression {
    return this.choice(body, this.empty);
  }

  /** `min` to `max` times; `max` may be Infinity. */
  repeat(body: Expression, min: number, max: number): Expression {
    if (max === 0 || body.kind === 'empty') return this.empty;
    if (body.kind === 'never') return min === 0 ? this.empty : this.never;
    if (min === 1 && max === 1) return body;
    // Each round then takes at least one byte, so rounds cannot be counted in more ways than one.
    if (body.isNullable) return this.#intern(...this.#repeatArgs(this.#withoutEmpty(body), 0, max));
    return this.#intern(...this.#repeatArgs(body, min, max));
  }

  /** A rule of its own, to be defined by setting its body; `isNullable` must tell whether that matches the empty string. */
  rule(name: string, isNullable = false): Rule {
    return this.#rule({ name, isNullable, isScope: false, body: null });
  }

  call(rule: Rule): Expression {
    return this.#intern(`r${this.#ruleIds.get(rule)}`, { kind: 'call', rule }, rule.isNullable);
  }

  /** `body` in a frame of its own: tokens within it are worked out once, wherever it stands. */
  scope(body: Expression): Expression {
    if (body.kind !== 'sequence' && body.kind !== 'choice' && body.kind !== 'repeat') return body;
    const known = this.#scopes.get(body);
    if (known !== undefined) return known;
    const call = this.call(this.#rule({ name: 'scope', isNullable: body.isNullable, isScope: true, body }));
    this.#scopes.set(body, call);
    return call;
  }

  #rule(rule: Rule): Rule {
    this.#ruleIds.set(rule, this.#nextId++);
    return rule;
  }

  #pair(first: Expression, rest: Expression): Expression {
    if (first.kind === 'never' || rest.kind === 'never') return this.never;
    if (first.kind === 'empty') return rest;
    if (rest.kind === 'empty') return first;
    if (first.kind === 'sequence') return this.#append(first, rest);
    const isNullable = first.isNullable && rest.isNullable;
    return this.#intern(`s${first.id},${rest.id}`, { kind: 'sequence', first, rest }, isNullable);
  }

  /** A loop, because literals may be long. */
  #append(list: Expression, rest: Expression): Expression {
    const parts: Expression[] = [];
    let left = list;
    for (; left.kind === 'sequence'; left = left.rest) parts.push(left.first);
    return [...parts, left].reduceRight((joined, part) => this.#pair(part, joined), rest);
  }

  /** Options that are bytes, or bytes followed by the same, become one. */
  #mergeFirstBytes(options: Iterable<Expression>): Expression[] {
    const setByRest = new Map<Expression, ByteSet>();
    const others: Expression[] = [];
    for (const option of options) {
      const [first, rest] = option.kind === 'sequence' ? [option.first, option.rest] : [option, this.empty];
      if (first.kind !== 'bytes') {
        others.push(option);
        continue;
      }
      const set = setByRest.get(rest);
      setByRest.set(rest, set === undefined ? first.set : unionOfBytes(set, first.set));
    }
    return [...others, ...Array.from(setByRest, ([rest, set]) => this.#pair(this.bytes(set), rest))];
  }

  #repeatArgs(body: Expression, min: number, max: number): [string, Shape, boolean] {
    return [`*${body.id},${min},${max}`, { kind: 'repeat', body, min, max }, min === 0];
  }

  /** The same without the empty string; nullable calls stay as they are. */
  #withoutEmpty(expression: Expression): Expression {
    if (!expression.isNullable) return expression;
    switch (expression.kind) {
      case 'empty':
        return this.never;
      case 'choice':
        return this.choice(...expression.options.map((option) => this.#withoutEmpty(option)));
      case 'sequence': {
        const rest = this.#withoutEmpty(expression.rest);
        return this.choice(this.#pair(this.#withoutEmpty(expression.first), expression.rest), rest);
      }
      case 'repeat':
        return this.#intern(...this.#repeatArgs(expression.body, 1, expression.max));
      default:
        return expression;
    }
  }

  #forget(): void {
    this.#byKey = new Map([
      ['never', this.never],
      ['empty', this.empty],
    ]);
    this.#scopes = new Map();
  }

  #intern(key: string, shape: Shape, isNullable: boolean): Expression {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    if (this.#budget-- <= 0) {
      throw new ConstraintError('The constraint is too large; make the schema, expression or grammar simpler.');
    }
    const expression = { ...shape, id: this.#nextId++, isNullable } as Expression;
    this.#byKey.set(key, expression);
    return expression;
  }
}
