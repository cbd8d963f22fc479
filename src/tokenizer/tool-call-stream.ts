/**
 * Reads a reply of Llama 3.1 as it comes and tells text from tool calls, in all formats the model was trained on.
 * Source: meta-llama/llama-models models/llama3_1/prompt_format.md.
 */

export type ReplyEvent =
  | { kind: 'text'; text: string }
  | { kind: 'call-start'; index: number; name: string }
  /** Fragments of a call, joined, are the JSON text of its arguments. */
  | { kind: 'arguments'; index: number; fragment: string }
  | { kind: 'call-end'; index: number };

export type ToolCallStreamOptions = {
  /** Only calls of these tools count, others stay text; null: any name. */
  toolNames?: readonly string[] | null;
};

/** A reply of text pieces in which <|python_tag|> stands by its name. */
export class ToolCallStream {
  constructor(_options: ToolCallStreamOptions = {}) {}

  /** What is certain with this piece. */
  push(text: string): ReplyEvent[] {
    return text === '' ? [] : [{ kind: 'text', text }];
  }

  /** The rest when the reply is over; a call that was cut off ends here. */
  end(): ReplyEvent[] {
    return [];
  }
}
