/**
 * Grammars in GBNF, the notation of llama.cpp: rules `name ::= …` of literals, character classes, groups, choices and repetitions.
 * Rules that call themselves get frames of their own; the others are written out in place. Source: llama.cpp grammars/README.md.
 */
import { ConstraintError } from '../util/errors.ts';
import { characterExpression } from './code-points.ts';
import type { Expression, ExpressionTable, Rule } from './expression.ts';
import { parseGbnf, type GbnfNode } from './gbnf-syntax.ts';

/** What the rule `root` describes. */
export function gbnfExpression(table: ExpressionTable, source: string): Expression {
  return new GbnfBuilder(table, parseGbnf(source)).build();
}

class GbnfBuilder {
  readonly #table: ExpressionTable;
  readonly #rules: ReadonlyMap<string, GbnfNode>;
  readonly #nullable = new Set<string>();
  readonly #recursive = new Set<string>();
  readonly #built = new Map<string, Expression>();

  constructor(table: ExpressionTable, rules: ReadonlyMap<string, GbnfNode>) {
    this.#table = table;
    this.#rules = rules;
  }

  build(): Expression {
    if (!this.#rules.has('root'))
      throw new ConstraintError('The grammar has no rule named root; a reply begins there.');
    for (const [name, node] of this.#rules) {
      for (const called of calledBy(node)) {
        if (!this.#rules.has(called)) {
          throw new ConstraintError(`Rule ${name} of the grammar uses ${called}, which is not defined.`);
        }
      }
    }
    this.#fixpoint(this.#nullable, (node) => this.#isNullable(node));
    this.#refuseEndless();
    this.#refuseLeftRecursion();
    for (const name of this.#rules.keys()) if (reaches(this.#callGraph(), name, name)) this.#recursive.add(name);
    return this.#rule('root');
  }

  /** Adds the rules for which `holds` follows from those that are in `names`, until no more do. */
  #fixpoint(names: Set<string>, holds: (node: GbnfNode) => boolean): void {
    for (let before = -1; before !== names.size;) {
      before = names.size;
      for (const [name, node] of this.#rules) if (holds(node)) names.add(name);
    }
  }

  #isNullable(node: GbnfNode): boolean {
    switch (node.kind) {
      case 'characters':
        return false;
      case 'sequence':
        return node.parts.every((part) => this.#isNullable(part));
      case 'choice':
        return node.options.some((option) => this.#isNullable(option));
      case 'repeat':
        return node.min === 0 || this.#isNullable(node.body);
      case 'call':
        return this.#nullable.has(node.name);
    }
  }

  #refuseEndless(): void {
    const ending = new Set<string>();
    const ends = (node: GbnfNode): boolean => {
      switch (node.kind) {
        case 'characters':
          return node.set.length > 0;
        case 'sequence':
          return node.parts.every(ends);
        case 'choice':
          return node.options.some(ends);
        case 'repeat':
          return node.min === 0 || ends(node.body);
        case 'call':
          return ending.has(node.name);
      }
    };
    this.#fixpoint(ending, ends);
    for (const name of this.#rules.keys()) {
      if (!ending.has(name)) throw new ConstraintError(`Rule ${name} of the grammar never comes to an end.`);
    }
  }

  #refuseLeftRecursion(): void {
    const graph = new Map(Array.from(this.#rules, ([name, node]) => [name, this.#firstCalls(node)]));
    for (const name of this.#rules.keys()) {
      if (reaches(graph, name, name)) {
        throw new ConstraintError(
          `Rule ${name} of the grammar begins with itself; write the repetition with * or + instead.`,
        );
      }
    }
  }

  /** Rules that a node may begin with. */
  #firstCalls(node: GbnfNode): string[] {
    switch (node.kind) {
      case 'characters':
        return [];
      case 'sequence': {
        const end = node.parts.findIndex((part) => !this.#isNullable(part));
        return node.parts.slice(0, end < 0 ? undefined : end + 1).flatMap((part) => this.#firstCalls(part));
      }
      case 'choice':
        return node.options.flatMap((option) => this.#firstCalls(option));
      case 'repeat':
        return this.#firstCalls(node.body);
      case 'call':
        return [node.name];
    }
  }

  #callGraph(): ReadonlyMap<string, readonly string[]> {
    return new Map(Array.from(this.#rules, ([name, node]) => [name, calledBy(node)]));
  }

  #rule(name: string): Expression {
    const known = this.#built.get(name);
    if (known !== undefined) return known;
    if (!this.#recursive.has(name)) {
      const built = this.#expression(this.#rules.get(name)!);
      this.#built.set(name, built);
      return built;
    }
    const rule: Rule = this.#table.rule(name, this.#nullable.has(name));
    const call = this.#table.call(rule);
    this.#built.set(name, call);
    rule.body = this.#expression(this.#rules.get(name)!);
    return call;
  }

  #expression(node: GbnfNode): Expression {
    const table = this.#table;
    switch (node.kind) {
      case 'characters':
        return characterExpression(table, node.set);
      case 'sequence':
        return table.sequence(...node.parts.map((part) => this.#expression(part)));
      case 'choice':
        return table.choice(...node.options.map((option) => this.#expression(option)));
      case 'repeat':
        return table.repeat(this.#expression(node.body), node.min, node.max);
      case 'call':
        return this.#rule(node.name);
    }
  }
}

function calledBy(node: GbnfNode): string[] {
  switch (node.kind) {
    case 'characters':
      return [];
    case 'sequence':
      return node.parts.flatMap(calledBy);
    case 'choice':
      return node.options.flatMap(calledBy);
    case 'repeat':
      return calledBy(node.body);
    case 'call':
      return [node.name];
  }
}

/** Whether `to` can be reached from `from` in one step or more. */
function reaches(graph: ReadonlyMap<string, readonly string[]>, from: string, to: string): boolean {
  const seen = new Set<string>();
  const work = [...graph.get(from)!];
  for (let name = work.pop(); name !== undefined; name = work.pop()) {
    if (name === to) return true;
    if (seen.has(name)) continue;
    seen.add(name);
    work.push(...graph.get(name)!);
  }
  return false;
}
