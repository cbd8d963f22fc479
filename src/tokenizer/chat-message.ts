/**
 * Conversations, and what turns them into the tokens a model was trained on. Knows no particular format.
 */

/** A call of a tool that the assistant asks for. */
export type ToolCall = { name: string; arguments: Readonly<Record<string, unknown>>; id?: string };

export type ChatMessage =
  | { role: 'system' | 'user'; content: string }
  /** `content` is '' where there is nothing but tool calls. */
  | { role: 'assistant'; content: string; toolCalls?: readonly ToolCall[] }
  /** What a tool answered: text, or JSON as text. */
  | { role: 'tool'; content: string; toolCallId?: string };

export type ChatRole = ChatMessage['role'];

/** A tool's description as JSON, in the shape {"type": "function", "function": {"name", "description", "parameters"}}. */
export type ToolDefinition = Readonly<Record<string, unknown>>;

export type ChatOptions = {
  /** End with the header of an assistant's message, for the model to write it. Default false. */
  addGenerationPrompt?: boolean;
  tools?: readonly ToolDefinition[];
  /** Tools that a Llama 3.1 model knows by name (brave_search, wolfram_alpha, code_interpreter): turns its ipython mode on. */
  builtinTools?: readonly string[];
  /** Describe the tools in the first user message instead of the system message. Default true, as in the published templates. */
  toolsInUserMessage?: boolean;
  /** The date that Llama 3.1 and later are told. Default DEFAULT_DATE, so that nothing depends on the day. */
  dateString?: string;
};

/** The date in the published templates. */
export const DEFAULT_DATE = '26 Jul 2024';

/** Tokens [start, end) that are what a message says, with the token that ends it, without its header. */
export type ChatSpan = { messageIndex: number; role: ChatRole; start: number; end: number };

/** `spans` are in order and do not overlap; those of the assistant's messages are always there and are what a model learns to write. */
export type EncodedChat = { ids: number[]; spans: ChatSpan[] };

export interface ChatFormat {
  readonly name: string;
  /** Tokens of a conversation. What messages say stays text even where it spells a special token. */
  encode(messages: readonly ChatMessage[], options?: ChatOptions): number[];
  /** The same with the place of each message. */
  encodeWithSpans(messages: readonly ChatMessage[], options?: ChatOptions): EncodedChat;
  /** The conversation as text, for people: names of special tokens and what messages say look alike in it. */
  render(messages: readonly ChatMessage[], options?: ChatOptions): string;
}
