/**
 * The tokens of a vocabulary as constraints see them, and what is worked out about them: made once per tokenizer, shared by all requests.
 */
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { runAtOnce, type Sliced } from '../util/slices.ts';
import { ExpressionTable } from './expression.ts';
import type { GrammarConstraint } from './grammar-constraint.ts';
import { JsonText, type WhiteSpace } from './json-text.ts';
import { Matcher } from './matcher.ts';
import { TokenMasks } from './token-masks.ts';
import { tokenTrie, type TokenTrie } from './token-trie.ts';

/** What constraints need of a tokenizer. */
export type ConstrainedTokenizer = Pick<Tokenizer, 'vocabSize' | 'stopIds' | 'tokenBytes' | 'isSpecial'>;

/** Compiled constraints that are kept, and their sources' length altogether in UTF-16 units. */
const MAX_COMPILED = 256;
const MAX_COMPILED_SOURCES = 4_000_000;
/** Tokens between two yields. */
const IDS_PER_SLICE = 1024;

/** A vocabulary's tokens by kind, and those that are text as a trie. */
type SortedVocabulary = {
  trie: TokenTrie;
  textIds: Uint8Array;
  anyToken: Uint32Array;
  specials: Uint32Array;
};

/** Tokens by their bytes; special tokens and those that end a reply are none of them. */
export class ConstraintVocabulary {
  readonly numIds: number;
  readonly expressions = new ExpressionTable();
  readonly matcher = new Matcher(this.expressions);
  readonly masks: TokenMasks;
  readonly #tokenizer: ConstrainedTokenizer;
  readonly #textIds: Uint8Array;
  /** Every token but those that end a reply. */
  readonly anyToken: Uint32Array;
  readonly #specials: Uint32Array;
  readonly #withSpecials = new WeakMap<Uint32Array, Uint32Array>();
  readonly #json = new Map<WhiteSpace, JsonText>();
  readonly #compiled = new Map<string, GrammarConstraint>();
  #compiledSources = 0;

  /** Takes about a quarter of a second for 128,000 tokens, unless they were sorted before. */
  constructor(tokenizer: ConstrainedTokenizer, sorted: SortedVocabulary = runAtOnce(sortVocabulary(tokenizer))) {
    this.numIds = tokenizer.vocabSize;
    this.#tokenizer = tokenizer;
    this.#textIds = sorted.textIds;
    this.anyToken = sorted.anyToken;
    this.#specials = sorted.specials;
    this.masks = new TokenMasks(this.expressions, this.matcher, sorted.trie, this.numIds);
  }

  /** The same in slices, for programs that have other things to do meanwhile. */
  static *made(tokenizer: ConstrainedTokenizer): Sliced<ConstraintVocabulary> {
    return new ConstraintVocabulary(tokenizer, yield* sortVocabulary(tokenizer));
  }

  /** Whether a token is text, rather than a special one. */
  isText(id: number): boolean {
    return this.#textIds[id] === 1;
  }

  /** Bytes of a token that is text, none of another. */
  bytesOf(id: number): Uint8Array {
    return this.isText(id) ? this.#tokenizer.tokenBytes(id) : new Uint8Array(0);
  }

  /** A mask with the special tokens added. */
  withSpecials(mask: Uint32Array): Uint32Array {
    let added = this.#withSpecials.get(mask);
    if (added === undefined) {
      added = mask.map((word, i) => word | this.#specials[i]!);
      this.#withSpecials.set(mask, added);
    }
    return added;
  }

  /** JSON as an expression, with its white space. */
  json(whiteSpace: WhiteSpace): JsonText {
    let json = this.#json.get(whiteSpace);
    if (json === undefined) {
      json = new JsonText(this.expressions, whiteSpace);
      this.#json.set(whiteSpace, json);
    }
    return json;
  }

  /** The constraint made of `source` before, or a new one; the least recently used are forgotten. */
  cached(source: string, make: () => GrammarConstraint): GrammarConstraint {
    const known = this.#compiled.get(source);
    const constraint = known ?? make();
    this.#compiled.delete(source);
    this.#compiled.set(source, constraint);
    if (known !== undefined) return known;
    this.#compiledSources += source.length;
    for (const oldest of this.#compiled.keys()) {
      if (this.#compiled.size <= MAX_COMPILED && this.#compiledSources <= MAX_COMPILED_SOURCES) break;
      this.#compiled.delete(oldest);
      this.#compiledSources -= oldest.length;
    }
    return constraint;
  }

  /** Keeps what is remembered within bounds; to be called between steps of replies. */
  trim(): void {
    if (this.matcher.trim()) this.masks.clear();
  }
}

function* sortVocabulary(tokenizer: ConstrainedTokenizer): Sliced<SortedVocabulary> {
  const { vocabSize } = tokenizer;
  const textIds = new Uint8Array(vocabSize);
  const anyToken = new Uint32Array(Math.ceil(vocabSize / 32));
  const specials = new Uint32Array(anyToken.length);
  const stopIds = new Set(tokenizer.stopIds);
  const entries: [number, Uint8Array][] = [];
  for (let id = 0; id < vocabSize; id++) {
    if (id % IDS_PER_SLICE === 0) yield;
    const bytes = tokenizer.tokenBytes(id);
    if (bytes.length === 0 || stopIds.has(id)) continue;
    anyToken[id >>> 5]! |= 1 << (id & 31);
    if (tokenizer.isSpecial(id)) {
      specials[id >>> 5]! |= 1 << (id & 31);
      continue;
    }
    entries.push([id, bytes]);
    textIds[id] = 1;
  }
  return { trie: yield* tokenTrie(entries), textIds, anyToken, specials };
}
