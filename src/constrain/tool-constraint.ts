/**
 * Replies that call tools in Llama 3.1's formats: a choice of tools turned into a constraint. What it lets pass, tool-call-stream.ts of the
 * tokenizer reads.
 */
import type { ConstraintState, TokenConstraint } from '../infer/token-constraint.ts';
import { ConstraintError } from '../util/errors.ts';
import { byteSet } from './byte-set.ts';
import { compiled } from './compile.ts';
import type { Expression, ExpressionTable } from './expression.ts';
import type { GrammarConstraint, GrammarState } from './grammar-constraint.ts';
import { jsonSchemaExpression } from './json-schema.ts';
import type { JsonText } from './json-text.ts';
import type { ConstraintVocabulary } from './vocabulary.ts';

/**
 * A tool the model may call; `parameters` is the JSON Schema of its arguments, an object; null: it has none. `isStrict`: a schema that is not
 * supported is an error even where the choice is left to the model; otherwise such a tool's arguments are any object.
 */
export type ToolSignature = { name: string; parameters: unknown; isStrict?: boolean };

/**
 * 'required': nothing but calls, one at least; a name: of this tool. 'auto': any text, but once a call of a known tool has begun, its
 * arguments are valid.
 */
export type ToolChoice = 'auto' | 'required' | { name: string };

export type ToolOptions = {
  /** Whether a reply may hold several calls. Default false. */
  parallel?: boolean;
};

/**
 * What a reply must keep to so that its calls parse and their arguments are valid. Wrong schemas are a ConstraintError whose pointer begins
 * with the tool's place in the list, as /0/parameters/type.
 */
export function toolConstraint(
  tools: readonly ToolSignature[],
  choice: ToolChoice,
  vocabulary: ConstraintVocabulary,
  { parallel = false }: ToolOptions = {},
): TokenConstraint {
  const callable = typeof choice === 'string' ? tools : tools.filter(({ name }) => name === choice.name);
  if (callable.length === 0) {
    const which = typeof choice === 'string' ? 'There are no tools' : `There is no tool named ${choice.name}`;
    throw new ConstraintError(`${which}; name one that is among the tools.`);
  }
  const source = JSON.stringify([choice, parallel, tools]);
  const isAuto = choice === 'auto';
  const constraint = compiled(vocabulary, 'tools', source, () => {
    const args = argumentsOf(vocabulary, tools, callable, isAuto);
    const json = vocabulary.json('limited');
    return isAuto ? textOrCalls(json, args, parallel) : calls(json, args, parallel);
  });
  return isAuto ? new AutoToolConstraint(constraint, vocabulary) : constraint;
}

/** Expressions of the arguments of each tool. */
type Arguments = ReadonlyMap<ToolSignature, Expression>;

/** {"name": "…", "parameters": {…}}, one or several. */
function calls(json: JsonText, callable: Arguments, parallel: boolean): Expression {
  const { table } = json;
  const call = table.choice(
    ...Array.from(callable, ([tool, args]) => {
      const name = table.sequence(json.literal('name'), json.colon, json.literal(tool.name));
      return table.sequence(table.literal('{'), json.gap, name, callRest(json, args));
    }),
  );
  return parallel ? several(table, call) : call;
}

/** What follows the name in a call. */
function callRest(json: JsonText, args: Expression): Expression {
  const { table } = json;
  return table.sequence(json.comma, json.literal('parameters'), json.colon, args, json.gap, table.literal('}'));
}

function argumentsOf(
  vocabulary: ConstraintVocabulary,
  tools: readonly ToolSignature[],
  callable: readonly ToolSignature[],
  isLenient: boolean,
): Arguments {
  const json = vocabulary.json('limited');
  const one = (tool: ToolSignature): Expression => {
    const schema = tool.parameters ?? { type: 'object', properties: {} };
    try {
      return jsonSchemaExpression(json, vocabulary.matcher, schema, { type: 'object' });
    } catch (cause) {
      if (!(cause instanceof ConstraintError) || cause.pointer === null) throw cause;
      if (isLenient && tool.isStrict !== true) return json.object;
      const pointer = `/${tools.indexOf(tool)}/parameters${cause.pointer}`;
      throw new ConstraintError(`Tool ${tool.name}: ${cause.message}`, pointer, { cause });
    }
  };
  return new Map(callable.map((tool) => [tool, one(tool)]));
}

function several(table: ExpressionTable, call: Expression): Expression {
  const separator = table.choice(table.literal('; '), table.literal(';'), table.literal('\n'));
  return table.sequence(call, table.repeat(table.sequence(separator, call), 0, Infinity));
}

/** How models write the beginning of a call, up to the name. */
const OPENINGS = ['', ' ', '\n  ', '\n    '].flatMap((gap) => [': ', ':'].map((colon) => `{${gap}"name"${colon}`));
const FUNCTION = '<function=';

/** Text in which a line may begin a call; from then on there are only calls. */
function textOrCalls(json: JsonText, tools: Arguments, parallel: boolean): Expression {
  const { table } = json;
  const beginnings: Beginning[] = [];
  const more = parallel ? table.optional(table.sequence(table.literal('\n'), calls(json, tools, true))) : table.empty;
  for (const [tool, args] of tools) {
    const jsonRest = table.sequence(callRest(json, args), more);
    for (const opening of OPENINGS) beginnings.push(beginning(opening + JSON.stringify(tool.name), jsonRest));
    const functionRest = table.sequence(args, table.literal('</function>'));
    beginnings.push(beginning(`${FUNCTION}${tool.name}>`, functionRest));
  }
  const line = table.rule('line', true);
  const notLineEnd = table.bytes(byteSet([0, 9], [11, 255]));
  const nextLine = table.sequence(table.literal('\n'), table.call(line));
  const restOfLine = table.sequence(table.repeat(notLineEnd, 0, Infinity), table.optional(nextLine));
  line.body = lineFrom({ table, restOfLine, nextLine }, beginnings, 0);
  return table.call(line);
}

type Beginning = { bytes: Uint8Array; rest: Expression };

function beginning(text: string, rest: Expression): Beginning {
  return { bytes: new TextEncoder().encode(text), rest };
}

type Line = { table: ExpressionTable; restOfLine: Expression; nextLine: Expression };

/** A line that so far is the beginning of a call: it may become one, or go on otherwise as text. */
function lineFrom(line: Line, beginnings: readonly Beginning[], at: number): Expression {
  const { table, restOfLine, nextLine } = line;
  const whole = beginnings.find(({ bytes }) => bytes.length === at);
  if (whole !== undefined) return whole.rest;
  const byNext = new Map<number, Beginning[]>();
  for (const one of beginnings) {
    const same = byNext.get(one.bytes[at]!);
    if (same === undefined) byNext.set(one.bytes[at]!, [one]);
    else same.push(one);
  }
  const others = byteSet([0, 9], [11, 255]);
  const options: Expression[] = byNext.has(0x0a) ? [] : [nextLine];
  for (const [byte, same] of byNext) {
    others[byte >>> 5]! &= ~(1 << (byte & 31));
    options.push(table.sequence(table.byteRange(byte, byte), lineFrom(line, same, at + 1)));
  }
  return table.choice(...options, table.sequence(table.bytes(others), restOfLine), table.empty);
}

/** Lets special tokens pass where text is free: a call of a built-in tool begins with one. After it nothing is constrained. */
class AutoToolConstraint implements TokenConstraint {
  readonly #grammar: GrammarConstraint;
  readonly #vocabulary: ConstraintVocabulary;

  constructor(grammar: GrammarConstraint, vocabulary: ConstraintVocabulary) {
    this.#grammar = grammar;
    this.#vocabulary = vocabulary;
  }

  start(): ConstraintState {
    return new AutoToolState(this.#vocabulary, this.#grammar.start());
  }
}

class AutoToolState implements ConstraintState {
  readonly #vocabulary: ConstraintVocabulary;
  /** Null once nothing is constrained. */
  #grammar: GrammarState | null;

  constructor(vocabulary: ConstraintVocabulary, grammar: GrammarState | null) {
    this.#vocabulary = vocabulary;
    this.#grammar = grammar;
  }

  allowed(): Uint32Array {
    if (this.#grammar === null) return this.#vocabulary.anyToken;
    const mask = this.#grammar.allowed();
    return this.#isText() ? this.#vocabulary.withSpecials(mask) : mask;
  }

  canEnd(): boolean {
    return this.#grammar === null || this.#grammar.canEnd();
  }

  advance(id: number): void {
    if (this.#grammar === null) return;
    if (this.#vocabulary.isText(id) || !this.#isText()) this.#grammar.advance(id);
    else this.#grammar = null;
  }

  clone(): ConstraintState {
    return new AutoToolState(this.#vocabulary, this.#grammar?.clone() ?? null);
  }

  /** Text may hold any byte, a call never a zero. */
  #isText(): boolean {
    return this.#grammar!.allowsByte(0);
  }
}
