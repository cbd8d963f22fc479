/**
 * Reads a reply of Llama 3.1 as it comes and tells text from tool calls, in all formats the model was trained on: JSON, one call or several;
 * <function=name>{…}</function>; and after <|python_tag|> JSON, a built-in tool's name.call(key="…"), or code.
 * Source: meta-llama/llama-models models/llama3_1/prompt_format.md.
 */
import { JsonValueScanner, skipJsonSpace } from './json-scan.ts';
import { CODE_TOOL, parseToolCall } from './parse-tool-call.ts';
import { PYTHON_TAG } from './special-tokens.ts';
import { readCallHead } from './tool-call-head.ts';

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

const FUNCTION = '<function=';
const FUNCTION_END = '</function>';
const MAX_NAME = 200;

/** Where the reply stands. What is held back is in #pending. */
type Mode =
  /** Where a call may begin: at the start, after a line end, after a call. */
  | { kind: 'start'; isAfterCall: boolean }
  | { kind: 'text' }
  | { kind: 'tagged' }
  | { kind: 'arguments'; scanner: JsonValueScanner; isFunction: boolean }
  /** After the arguments: the rest of the object, or </function>. */
  | { kind: 'tail'; isFunction: boolean }
  | { kind: 'code' };

/** A reply of text pieces in which <|python_tag|> stands by its name. */
export class ToolCallStream {
  readonly #toolNames: ReadonlySet<string> | null;
  #mode: Mode = { kind: 'start', isAfterCall: false };
  #pending = '';
  #numCalls = 0;
  #events: ReplyEvent[] = [];

  constructor({ toolNames = null }: ToolCallStreamOptions = {}) {
    this.#toolNames = toolNames === null ? null : new Set(toolNames);
  }

  /** Calls that have begun. */
  get numCalls(): number {
    return this.#numCalls;
  }

  /** What is certain with this piece. */
  push(text: string): ReplyEvent[] {
    this.#pending += text;
    while (this.#pending !== '' && this.#step());
    return this.#take();
  }

  /** The rest when the reply is over; a call that was cut off ends here. */
  end(): ReplyEvent[] {
    const { kind } = this.#mode;
    if (kind === 'tagged') this.#endTagged();
    else if (kind === 'text' || kind === 'start') this.#endText();
    if (this.#mode.kind === 'code') this.#argument(`${codeFragment(this.#pending)}"}`);
    if (this.#mode.kind === 'arguments' || this.#mode.kind === 'tail' || this.#mode.kind === 'code') this.#endCall();
    this.#pending = '';
    return this.#take();
  }

  /** Takes a step with what is pending; false if more must come first. */
  #step(): boolean {
    switch (this.#mode.kind) {
      case 'start':
        return this.#stepStart(this.#mode.isAfterCall);
      case 'text':
        return this.#stepText();
      case 'tagged':
        return this.#stepTagged();
      case 'arguments':
        return this.#stepArguments(this.#mode);
      case 'tail':
        return this.#stepTail(this.#mode.isFunction);
      case 'code':
        this.#argument(codeFragment(this.#pending));
        this.#pending = '';
        return false;
    }
  }

  #stepStart(isAfterCall: boolean): boolean {
    const at = skipJsonSpace(this.#pending, 0);
    const rest = this.#pending.slice(at);
    if (rest === '') return false;
    if (isAfterCall && (rest[0] === ';' || rest[0] === ',')) {
      this.#pending = rest.slice(1);
      return true;
    }
    if (rest[0] === '{') return this.#stepJson(rest, () => this.#becomeText());
    if (rest[0] === '<') {
      const isTagOrWait = this.#stepTag(rest);
      if (isTagOrWait !== null) return isTagOrWait;
    }
    return this.#becomeText();
  }

  /** A call in JSON that `rest` begins with, or `otherwise`. */
  #stepJson(rest: string, otherwise: () => boolean): boolean {
    const head = readCallHead(rest, (name) => this.#isKnown(name));
    switch (head.kind) {
      case 'wait':
        return false;
      case 'no':
        return otherwise();
      case 'arguments':
        this.#startCall(head.name);
        this.#pending = rest.slice(head.at);
        this.#mode = { kind: 'arguments', scanner: new JsonValueScanner(), isFunction: false };
        return true;
      case 'whole':
        this.#wholeCall(head.name, head.args);
        this.#pending = rest.slice(head.at);
        return true;
    }
  }

  /** <|python_tag|> or <function=name>{ at the beginning of `rest`: whether to go on, null if it is neither. */
  #stepTag(rest: string): boolean | null {
    if (rest.startsWith(PYTHON_TAG)) {
      this.#pending = rest.slice(PYTHON_TAG.length);
      this.#mode = { kind: 'tagged' };
      return true;
    }
    if (PYTHON_TAG.startsWith(rest) || FUNCTION.startsWith(rest)) return false;
    if (!rest.startsWith(FUNCTION)) return null;
    const nameEnd = rest.indexOf('>');
    if (nameEnd < 0) return rest.length > MAX_NAME + FUNCTION.length ? null : false;
    const name = rest.slice(FUNCTION.length, nameEnd);
    const at = skipJsonSpace(rest, nameEnd + 1);
    if (!this.#isKnown(name)) return null;
    if (at === rest.length) return false;
    if (rest[at] !== '{') return null;
    this.#startCall(name);
    this.#pending = rest.slice(at);
    this.#mode = { kind: 'arguments', scanner: new JsonValueScanner(), isFunction: true };
    return true;
  }

  #becomeText(): boolean {
    // At least one character, so that what was found to be no call is not looked at again.
    const length = skipJsonSpace(this.#pending, 0) + 1;
    this.#text(length);
    this.#mode = { kind: 'text' };
    return true;
  }

  #stepText(): boolean {
    const special = /[\n<]/.exec(this.#pending);
    if (special === null) {
      this.#text(this.#pending.length);
      return false;
    }
    if (special[0] === '\n') {
      this.#text(special.index + 1);
      this.#mode = { kind: 'start', isAfterCall: false };
      return true;
    }
    if (special.index > 0) {
      this.#text(special.index);
      return true;
    }
    const isTagOrWait = this.#stepTag(this.#pending);
    if (isTagOrWait !== null) return isTagOrWait;
    this.#text(1);
    return true;
  }

  #stepTagged(): boolean {
    const rest = this.#pending.slice(skipJsonSpace(this.#pending, 0));
    if (rest === '') return false;
    if (rest[0] === '{') return this.#stepJson(rest, () => this.#startCode());
    if (/^\w+(?:\.(?:c(?:a(?:l(?:l(?:\([^]*)?)?)?)?)?)?$/.test(rest)) {
      const named = /^\w+\.call\((?:[^"\\)]|"(?:[^"\\]|\\.)*")*\)/.exec(rest);
      if (named === null) return false;
      const call = parseToolCall(named[0]);
      if (call === null) return this.#startCode();
      if (!this.#isKnown(call.name)) return this.#becomeText();
      this.#wholeCall(call.name, JSON.stringify(call.arguments));
      this.#pending = rest.slice(named[0].length);
      return true;
    }
    return this.#startCode();
  }

  #stepArguments({ scanner, isFunction }: Extract<Mode, { kind: 'arguments' }>): boolean {
    const length = scanner.push(this.#pending);
    this.#argument(this.#pending.slice(0, length));
    this.#pending = this.#pending.slice(length);
    if (scanner.isDone) this.#mode = { kind: 'tail', isFunction };
    return scanner.isDone;
  }

  #stepTail(isFunction: boolean): boolean {
    const at = skipJsonSpace(this.#pending, 0);
    const rest = this.#pending.slice(at);
    if (rest === '') return false;
    if (isFunction) {
      if (FUNCTION_END.startsWith(rest) && rest !== FUNCTION_END) return false;
      this.#pending = rest.startsWith(FUNCTION_END) ? rest.slice(FUNCTION_END.length) : rest;
      this.#endCall();
      return true;
    }
    // Members after the arguments do not matter.
    const scanner = new JsonValueScanner();
    scanner.push('{');
    const length = scanner.push(rest);
    if (!scanner.isDone) return false;
    this.#pending = rest.slice(length);
    this.#endCall();
    return true;
  }

  #startCode(): boolean {
    if (!this.#isKnown(CODE_TOOL)) return this.#becomeText();
    this.#startCall(CODE_TOOL);
    this.#argument('{"code": "');
    this.#mode = { kind: 'code' };
    return true;
  }

  #endTagged(): void {
    const call = this.#pending.trim() === '' ? null : parseToolCall(this.#pending);
    if (call !== null && this.#isKnown(call.name)) this.#wholeCall(call.name, JSON.stringify(call.arguments));
    else if (this.#pending !== '' && this.#startCode() && this.#mode.kind === 'text') this.#text(this.#pending.length);
  }

  #endText(): void {
    const isAfterCall = this.#mode.kind === 'start' && this.#mode.isAfterCall;
    if (isAfterCall && this.#pending.trim() === '') return;
    this.#text(this.#pending.length);
  }

  #isKnown(name: string): boolean {
    return this.#toolNames === null || this.#toolNames.has(name);
  }

  #wholeCall(name: string, args: string): void {
    this.#startCall(name);
    this.#argument(args);
    this.#endCall();
  }

  #startCall(name: string): void {
    this.#events.push({ kind: 'call-start', index: this.#numCalls++, name });
  }

  #argument(fragment: string): void {
    if (fragment !== '') this.#events.push({ kind: 'arguments', index: this.#numCalls - 1, fragment });
  }

  #endCall(): void {
    this.#events.push({ kind: 'call-end', index: this.#numCalls - 1 });
    this.#mode = { kind: 'start', isAfterCall: true };
  }

  #text(length: number): void {
    const text = this.#pending.slice(0, length);
    this.#pending = this.#pending.slice(length);
    const last = this.#events.at(-1);
    if (last?.kind === 'text') last.text += text;
    else if (text !== '') this.#events.push({ kind: 'text', text });
  }

  #take(): ReplyEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }
}

/** Code as it stands within a JSON string. */
function codeFragment(code: string): string {
  return JSON.stringify(code).slice(1, -1);
}
