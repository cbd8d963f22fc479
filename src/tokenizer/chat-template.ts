/**
 * A checkpoint's own chat template, in Jinja. What messages say is masked while the template runs, so that only the template
 * itself can write special tokens, and so that its `trim` strips what Python's would.
 */
import type { AddedToken } from './added-tokens.ts';
import { boundedTemplate, type BoundedTemplate } from './bounded-template.ts';
import {
  DEFAULT_DATE,
  type ChatFormat,
  type ChatMessage,
  type ChatOptions,
  type ChatSpan,
  type EncodedChat,
} from './chat-message.ts';
import { contentMask, type ContentMask } from './content-mask.ts';
import { formatDate } from './format-date.ts';
import type { Tokenizer } from './tokenizer.ts';
import { ConfigError, FormatError } from '../util/errors.ts';

/** Chat format that a Jinja template describes; a template that does not parse is a FormatError. */
export function templateChatFormat(tokenizer: Tokenizer, source: string): ChatFormat {
  let template: BoundedTemplate;
  try {
    template = boundedTemplate(adapted(source));
  } catch (cause) {
    throw new FormatError(`The chat template does not parse: ${(cause as Error).message}.`, { cause });
  }
  const chat = new TemplateChat(tokenizer, template);
  return {
    name: 'template',
    encode: (messages, options = {}) => chat.encode(messages, options),
    encodeWithSpans: (messages, options = {}) => chat.encodeWithSpans(messages, options),
    render: (messages, options = {}) => chat.render(messages, options),
  };
}

const GIVEN_DATE = 'strftime_given';
const REJECT_EQUAL = 'reject_equal';
const REJECT_FILTER = /(\w+)\s*\|\s*reject\(\s*(['"])equalto\2\s*,/g;

/** The template without two things that the library cannot do: a clock of ours, and the filter `reject` (in Llama 3.1's). */
function adapted(source: string): string {
  return source.replaceAll('strftime_now', GIVEN_DATE).replace(REJECT_FILTER, `${REJECT_EQUAL}($1,`);
}

/** Gets a list of the library's own values. */
function rejectEqual(items: readonly { value: unknown }[], rejected: unknown): unknown[] {
  return items.map(({ value }) => value).filter((value) => value !== rejected);
}

class TemplateChat {
  readonly #tokenizer: Tokenizer;
  readonly #template: BoundedTemplate;

  constructor(tokenizer: Tokenizer, template: BoundedTemplate) {
    this.#tokenizer = tokenizer;
    this.#template = template;
  }

  encode(messages: readonly ChatMessage[], options: ChatOptions): number[] {
    const mask = this.#mask(messages, options);
    return this.#encodeMasked(this.#run(messages, options, mask), mask).ids;
  }

  encodeWithSpans(messages: readonly ChatMessage[], options: ChatOptions): EncodedChat {
    const mask = this.#mask(messages, options);
    const masked = this.#run(messages, options, mask);
    const { ids, starts } = this.#encodeMasked(masked, mask);
    const spans: ChatSpan[] = [];
    for (const [messageIndex, { role }] of messages.entries()) {
      if (role !== 'assistant') continue;
      const before = this.#run(messages.slice(0, messageIndex), { ...options, addGenerationPrompt: true }, mask);
      const after = this.#run(messages.slice(0, messageIndex + 1), { ...options, addGenerationPrompt: false }, mask);
      if (!after.startsWith(before) || !masked.startsWith(after)) {
        throw new ConfigError(
          `The chat template rewrites what came before message ${messageIndex + 1}, so its tokens cannot be told apart; ` +
            'use one of the formats in code, or conversations with one answer.',
        );
      }
      const start = tokenAt(starts, before.length);
      spans.push({ messageIndex, role, start, end: this.#outputEnd(ids, start, tokenAt(starts, after.length)) });
    }
    return { ids, spans };
  }

  render(messages: readonly ChatMessage[], options: ChatOptions): string {
    const mask = this.#mask(messages, options);
    return mask.restore(this.#run(messages, options, mask));
  }

  #mask(messages: readonly ChatMessage[], options: ChatOptions): ContentMask {
    const special = this.#tokenizer.addedTokens.filter((token: AddedToken) => token.isSpecial);
    return contentMask(
      special.map(({ content }) => content),
      JSON.stringify([messages, options.tools ?? null]),
    );
  }

  #run(messages: readonly ChatMessage[], options: ChatOptions, mask: ContentMask): string {
    const { bosId, eosId } = this.#tokenizer;
    const { tools, builtinTools, toolsInUserMessage, dateString = DEFAULT_DATE } = options;
    const name = (id: number | null) => (id === null ? '' : this.#tokenizer.decode([id]));
    const context: Record<string, unknown> = {
      messages: messages.map((message) => templateMessage(message, mask)),
      add_generation_prompt: options.addGenerationPrompt ?? false,
      bos_token: name(bosId),
      eos_token: name(eosId),
      date_string: dateString,
      // Nothing may depend on the day: callers who want today's date pass it as dateString.
      [GIVEN_DATE]: (format: string) => formatDate(new Date(`${dateString} UTC`), format),
      [REJECT_EQUAL]: rejectEqual,
      tools: tools === undefined ? null : mask.hideIn(tools), // null as in Transformers
      ...(builtinTools === undefined ? {} : { builtin_tools: builtinTools }),
      ...(toolsInUserMessage === undefined ? {} : { tools_in_user_message: toolsInUserMessage }),
    };
    try {
      return this.#template(context);
    } catch (cause) {
      throw new ConfigError(`The chat template refuses this conversation: ${(cause as Error).message}`, { cause });
    }
  }

  /** Ids of a masked rendering, and where in it each token starts. */
  #encodeMasked(masked: string, mask: ContentMask): { ids: number[]; starts: number[] } {
    const ids: number[] = [];
    const starts: number[] = [];
    for (const segment of this.#tokenizer.segments(masked)) {
      if (segment.id !== null) {
        ids.push(segment.id);
        starts.push(segment.start);
        continue;
      }
      const { text, placeOf } = mask.restoreWithPlaces(masked.slice(segment.start, segment.end));
      const encoded = this.#tokenizer.encodeWithOffsets(text, { isContinuation: segment.start > 0 });
      for (const [i, id] of encoded.ids.entries()) {
        ids.push(id);
        starts.push(segment.start + placeOf(encoded.starts[i]!));
      }
    }
    return { ids, starts };
  }

  /** A message ends with the token that stops generation; what the template writes after it (a line break) is not the model's. */
  #outputEnd(ids: readonly number[], start: number, end: number): number {
    for (let i = end; i > start; i--) if (this.#tokenizer.stopIds.includes(ids[i - 1]!)) return i;
    return end;
  }
}

/** Number of tokens that start before `place`. */
function tokenAt(starts: readonly number[], place: number): number {
  const index = starts.findIndex((start) => start >= place);
  return index < 0 ? starts.length : index;
}

/** A masked message with the names that templates use. */
function templateMessage(message: ChatMessage, mask: ContentMask): Record<string, unknown> {
  const { role, content } = message;
  if (role === 'assistant' && message.toolCalls !== undefined) {
    const calls = message.toolCalls.map(({ name, arguments: args, id }) => ({
      ...(id === undefined ? {} : { id }),
      type: 'function',
      function: { name, arguments: args },
    }));
    return { role, content: mask.hide(content), tool_calls: mask.hideIn(calls) };
  }
  if (role !== 'tool') return { role, content: mask.hide(content) };
  const { toolCallId } = message;
  return {
    role,
    content: mask.hideIn(content),
    ...(toolCallId === undefined ? {} : { tool_call_id: toolCallId }),
  };
}
