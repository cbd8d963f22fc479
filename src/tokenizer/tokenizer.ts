/**
 * A vocabulary with its special tokens: text to ids and back. Everything a model, a trainer or a server asks of a tokenizer.
 * Knows nothing about files and chats; runs in the browser.
 */
import { AddedTokenSplitter, type AddedToken, type Segment } from './added-tokens.ts';
import { textEncoding, type BpeModel, type TextEncoding } from './bpe-model.ts';
import { IdSink } from './id-sink.ts';
import { OffsetWriter, type EncodingWithOffsets } from './offsets.ts';
import { StreamDecoder } from './stream-decoder.ts';
import { utf8Decode } from './utf8.ts';
import { ConfigError } from '../util/errors.ts';

export type { StreamDecoder };

export type EncodeOptions = {
  /** Put the beginning-of-text token first. Default false. */
  bos?: boolean;
  /** Put the end-of-text token last. Default false. */
  eos?: boolean;
  /** Turn the names of special tokens that stand in the text into those tokens. Default false: they stay text. */
  allowSpecial?: boolean;
  /** The text follows others: a space that a vocabulary of Llama 2's kind puts at the very start is left out. Default false. */
  isContinuation?: boolean;
};

export type DecodeOptions = {
  /** Leave special tokens out. Default false: their names are written. */
  skipSpecial?: boolean;
};

/** Which tokens play which part; null where the vocabulary has none for it. */
export type TokenRoles = {
  bosId: number | null;
  eosId: number | null;
  padId: number | null;
  /** Ids after which generation ends. */
  stopIds: readonly number[];
  /** What the model was trained with: whether plain text begins with the bos token, and ends with the eos token. */
  addsBos: boolean;
  addsEos: boolean;
};

export class Tokenizer {
  readonly model: BpeModel;
  readonly addedTokens: readonly AddedToken[];
  /** Special tokens by name. */
  readonly specialTokens: ReadonlyMap<string, number>;
  readonly roles: TokenRoles;

  readonly #encoding: TextEncoding;
  readonly #plainSplitter: AddedTokenSplitter; // of added tokens that are not special
  readonly #fullSplitter: AddedTokenSplitter;
  readonly #specialIds: ReadonlySet<number>;
  readonly #sink = new IdSink();

  constructor(model: BpeModel, addedTokens: readonly AddedToken[], roles: TokenRoles) {
    this.model = model;
    this.addedTokens = addedTokens;
    this.roles = roles;
    const special = addedTokens.filter((token) => token.isSpecial);
    this.specialTokens = new Map(special.map(({ content, id }) => [content, id]));
    this.#specialIds = new Set(special.map(({ id }) => id));
    this.#encoding = textEncoding(model);
    this.#plainSplitter = new AddedTokenSplitter(addedTokens.filter((token) => !token.isSpecial));
    this.#fullSplitter = new AddedTokenSplitter(addedTokens);
  }

  /** Number of ids: one more than the highest. */
  get vocabSize(): number {
    return this.model.vocab.size;
  }

  get bosId(): number | null {
    return this.roles.bosId;
  }

  get eosId(): number | null {
    return this.roles.eosId;
  }

  get padId(): number | null {
    return this.roles.padId;
  }

  /** Ids after which generation ends. */
  get stopIds(): readonly number[] {
    return this.roles.stopIds;
  }

  /** Ids of a text. */
  encode(text: string, options: EncodeOptions = {}): number[] {
    return this.#encode(text, options).toArray();
  }

  /** Ids of a text in a typed array of its own, for long texts. */
  encodeToUint32(text: string, options: EncodeOptions = {}): Uint32Array {
    return this.#encode(text, options).view().slice();
  }

  /** Number of tokens of a text. */
  count(text: string, options: EncodeOptions = {}): number {
    return this.#encode(text, options).length;
  }

  /**
   * Ids of a text and the part of the text each stands for, in UTF-16 units: `text.slice(starts[i], ends[i])`. Tokens that share a character
   * all get the whole of it; a token that stands for nothing in the text (bos, a space put before it) gets an empty part.
   */
  encodeWithOffsets(text: string, options: EncodeOptions = {}): EncodingWithOffsets {
    const writer = new OffsetWriter(this.model);
    const { bosId, eosId } = this.#frame(options);
    if (bosId !== null) writer.writeToken(bosId, 0, 0);
    for (const segment of this.#segments(text, options)) {
      if (segment.id !== null) {
        writer.writeToken(segment.id, segment.start, segment.end);
        continue;
      }
      const prepared = this.#prepare(text, segment, options);
      this.#sink.length = 0;
      this.#encoding.encode(prepared, this.#sink);
      writer.writeText(this.#sink.view(), prepared, segment);
    }
    if (eosId !== null) writer.writeToken(eosId, text.length, text.length);
    return writer.result;
  }

  /** Text of ids; bytes that are no UTF-8 become U+FFFD. */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    const bytes = this.decodeBytes(ids, options);
    return utf8Decode(this.dropsLeadingSpace && bytes[0] === 0x20 ? bytes.subarray(1) : bytes);
  }

  /** Bytes of ids, one token after the other. */
  decodeBytes(ids: ArrayLike<number>, { skipSpecial = false }: DecodeOptions = {}): Uint8Array {
    const parts: Uint8Array[] = [];
    let numBytes = 0;
    for (let i = 0; i < ids.length; i++) {
      if (skipSpecial && this.isSpecial(ids[i]!)) continue;
      const bytes = this.tokenBytes(ids[i]!);
      parts.push(bytes);
      numBytes += bytes.length;
    }
    const joined = new Uint8Array(numBytes);
    let at = 0;
    for (const bytes of parts) {
      joined.set(bytes, at);
      at += bytes.length;
    }
    return joined;
  }

  /** Decodes token by token, holding back the bytes of a character until it is whole. */
  streamDecoder(options: DecodeOptions = {}): StreamDecoder {
    return new StreamDecoder(this, options.skipSpecial ?? false);
  }

  /** A text cut at the names of all added tokens, special ones included. */
  segments(text: string): Segment[] {
    return this.#fullSplitter.split(text);
  }

  /** Bytes of one token; of a special token those of its name, of a hole in the vocabulary none. A view: do not write to it. */
  tokenBytes(id: number): Uint8Array {
    if (!Number.isInteger(id) || id < 0 || id >= this.vocabSize) {
      throw new ConfigError(
        `Token id ${id} is not in this tokenizer's vocabulary of ${this.vocabSize}; ` +
          'decode with the tokenizer that made the ids.',
      );
    }
    return this.model.vocab.entry(id);
  }

  /** Id of a special token by name, or null if this vocabulary has none of that name. */
  idOf(specialName: string): number | null {
    return this.specialTokens.get(specialName) ?? null;
  }

  isSpecial(id: number): boolean {
    return this.#specialIds.has(id);
  }

  /** True if encoding puts a space before a text, which decoding takes away again. */
  get dropsLeadingSpace(): boolean {
    return this.model.text.kind === 'sentencepiece' && this.model.text.spacePrefix !== 'never';
  }

  #encode(text: string, options: EncodeOptions): IdSink {
    const sink = this.#sink;
    const { bosId, eosId } = this.#frame(options);
    sink.length = 0;
    if (bosId !== null) sink.push(bosId);
    for (const segment of this.#segments(text, options)) {
      if (segment.id === null) this.#encoding.encode(this.#prepare(text, segment, options), sink);
      else sink.push(segment.id);
    }
    if (eosId !== null) sink.push(eosId);
    return sink;
  }

  #prepare(text: string, { start, end }: Segment, { isContinuation = false }: EncodeOptions): string {
    return this.#encoding.prepare(text.slice(start, end), start === 0 && !isContinuation);
  }

  #segments(text: string, { allowSpecial = false }: EncodeOptions): Segment[] {
    return (allowSpecial ? this.#fullSplitter : this.#plainSplitter).split(text);
  }

  #frame({ bos = false, eos = false }: EncodeOptions): { bosId: number | null; eosId: number | null } {
    if ((bos && this.bosId === null) || (eos && this.eosId === null)) {
      throw new ConfigError(
        `This tokenizer has no token for the ${bos && this.bosId === null ? 'beginning' : 'end'} of a text; ` +
          'encode without it, or use a tokenizer that has one.',
      );
    }
    return { bosId: bos ? this.bosId : null, eosId: eos ? this.eosId : null };
  }
}
