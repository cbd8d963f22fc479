/**
 * Writes a conversation piece by piece: special tokens by name, everything else as plain text.
 */
import type { ChatRole, ChatSpan, EncodedChat } from './chat-message.ts';
import type { Tokenizer } from './tokenizer.ts';
import { ConfigError } from '../util/errors.ts';

export class ChatWriter {
  readonly #tokenizer: Tokenizer;
  readonly #formatName: string;
  readonly #ids: number[] = [];
  readonly #spans: ChatSpan[] = [];
  #text = '';

  constructor(tokenizer: Tokenizer, formatName: string) {
    this.#tokenizer = tokenizer;
    this.#formatName = formatName;
  }

  special(name: string): void {
    const id = this.#tokenizer.idOf(name);
    if (id === null) {
      throw new ConfigError(
        `This tokenizer has no ${name} token, which the ${this.#formatName} chat format needs; ` +
          'choose a format that fits the model.',
      );
    }
    this.#ids.push(id);
    this.#text += name;
  }

  text(text: string): void {
    for (const id of this.#tokenizer.encode(text, { isContinuation: this.#ids.length > 0 })) this.#ids.push(id);
    this.#text += text;
  }

  /** Marks what `write` writes as what a message says. */
  message(messageIndex: number, role: ChatRole, write: () => void): void {
    const start = this.#ids.length;
    write();
    this.#spans.push({ messageIndex, role, start, end: this.#ids.length });
  }

  get encoded(): EncodedChat {
    return { ids: this.#ids, spans: this.#spans };
  }

  get rendered(): string {
    return this.#text;
  }
}
