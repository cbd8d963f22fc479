/**
 * A vocabulary with its special tokens: text to ids and back. Everything a model, a trainer or a server asks of a tokenizer.
 * Knows nothing about files and chats; runs in the browser.
 */
import type { ByteTable } from './byte-table.ts';
import { IdSink } from './id-sink.ts';
import { SpecialSplitter } from './special-splitter.ts';
import { BEGIN_OF_TEXT, END_OF_TEXT, RIGHT_PAD, STOP_TOKENS } from './special-tokens.ts';
import { utf8Decode, utf8Encode } from './utf8.ts';
import { ConfigError } from '../util/errors.ts';

export type EncodeOptions = {
  /** Put the beginning-of-text token first. Default false. */
  bos?: boolean;
  /** Put the end-of-text token last. Default false. */
  eos?: boolean;
  /** Turn the names of special tokens that stand in the text into those tokens. Default false: they stay text. */
  allowSpecial?: boolean;
};

export type DecodeOptions = {
  /** Leave special tokens out. Default false: their names are written. */
  skipSpecial?: boolean;
};

/** Appends the ids of a text in which nothing is special. */
export interface TextEncoding {
  encode(text: string, sink: IdSink): void;
}

export type TokenizerParts = {
  vocab: ByteTable;
  encoding: TextEncoding;
  specialTokens: ReadonlyMap<string, number>;
  /** Name of the pre-tokenising pattern, for saving. */
  pattern: string;
};

export class Tokenizer {
  /** Number of ids: one more than the highest. */
  readonly vocabSize: number;
  readonly specialTokens: ReadonlyMap<string, number>;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly padId: number | null;
  /** Ids after which generation ends. */
  readonly stopIds: readonly number[];
  readonly parts: TokenizerParts;

  readonly #splitter: SpecialSplitter;
  readonly #specialBytes = new Map<number, Uint8Array>();
  readonly #sink = new IdSink();

  constructor(parts: TokenizerParts) {
    this.parts = parts;
    this.specialTokens = parts.specialTokens;
    this.vocabSize = Math.max(parts.vocab.size, ...[...parts.specialTokens.values()].map((id) => id + 1));
    for (const [name, id] of parts.specialTokens) this.#specialBytes.set(id, utf8Encode(name));
    this.#splitter = new SpecialSplitter(parts.specialTokens);
    this.bosId = this.idOf(BEGIN_OF_TEXT);
    this.eosId = this.idOf(END_OF_TEXT);
    this.padId = this.idOf(RIGHT_PAD);
    this.stopIds = STOP_TOKENS.map((name) => this.idOf(name)).filter((id) => id !== null);
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

  /** Text of ids; bytes that are no UTF-8 become U+FFFD. */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    return utf8Decode(this.decodeBytes(ids, options));
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
    return new StreamDecoder(this, options);
  }

  /** Bytes of one token; for a special token those of its name. A view: do not write to it. */
  tokenBytes(id: number): Uint8Array {
    const special = this.#specialBytes.get(id);
    if (special !== undefined) return special;
    const { vocab } = this.parts;
    if (!Number.isInteger(id) || id < 0 || id >= vocab.size || vocab.entryLength(id) === 0) {
      throw new ConfigError(
        `Token id ${id} is not in this tokenizer's vocabulary of ${this.vocabSize}; ` +
          'decode with the tokenizer that made the ids.',
      );
    }
    return vocab.entry(id);
  }

  /** Id of a special token by name, or null if this vocabulary has none of that name. */
  idOf(specialName: string): number | null {
    return this.specialTokens.get(specialName) ?? null;
  }

  isSpecial(id: number): boolean {
    return this.#specialBytes.has(id);
  }

  #encode(text: string, { bos = false, eos = false, allowSpecial = false }: EncodeOptions): IdSink {
    const sink = this.#sink;
    sink.length = 0;
    if (bos) sink.push(this.#required(this.bosId, BEGIN_OF_TEXT));
    if (allowSpecial) this.#encodeWithSpecials(text, sink);
    else this.parts.encoding.encode(text, sink);
    if (eos) sink.push(this.#required(this.eosId, END_OF_TEXT));
    return sink;
  }

  #encodeWithSpecials(text: string, sink: IdSink): void {
    for (const segment of this.#splitter.split(text)) {
      if (segment.specialId === null) this.parts.encoding.encode(segment.text, sink);
      else sink.push(segment.specialId);
    }
  }

  #required(id: number | null, name: string): number {
    if (id === null) {
      throw new ConfigError(`This tokenizer has no ${name} token; encode without it, or use a tokenizer that has one.`);
    }
    return id;
  }
}

/** Turns a stream of ids into text of whole characters. */
export class StreamDecoder {
  readonly #tokenizer: Tokenizer;
  readonly #skipSpecial: boolean;
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  constructor(tokenizer: Tokenizer, { skipSpecial = false }: DecodeOptions = {}) {
    this.#tokenizer = tokenizer;
    this.#skipSpecial = skipSpecial;
  }

  /** Text that became complete with this token, '' while a character is unfinished. */
  push(id: number): string {
    if (this.#skipSpecial && this.#tokenizer.isSpecial(id)) return '';
    return this.#decoder.decode(this.#tokenizer.tokenBytes(id), { stream: true });
  }

  /** What an unfinished character at the end of the stream turns into: U+FFFD or ''. */
  flush(): string {
    return this.#decoder.decode();
  }
}
