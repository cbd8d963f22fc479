/**
 * One reply under construction: what is wanted of each step for it, its tokens drawn and checked against guesses, its text, log-probabilities
 * and times. Knows neither blocks nor other requests.
 */
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { randomStream } from '../util/rng.ts';
import { Generation, type GenerationResult } from './generation.ts';
import type { Chunk } from './model-runner.ts';
import type { CheckedRequest } from './request.ts';
import type { Logits } from './sampler.ts';
import type { Scheduled } from './scheduler.ts';
import { type FinishReason, Sequence } from './sequence.ts';
import type { DraftLength } from './speculation.ts';
import type { Progress, Task } from './task.ts';
import { TextStream } from './text-stream.ts';
import { TokenChooser } from './token-chooser.ts';
import { logprobsOf, type TokenLogprobs } from './token-logprobs.ts';

/** What a reply needs to know beside its request. */
export interface ReplyOptions {
  readonly tokenizer: Tokenizer | null;
  /** Logits per row of the model. */
  readonly vocabSize: number;
  /** Which of the replies to one request it is, from 0. */
  readonly index: number;
  readonly draftLength: DraftLength | null;
  /** Asked for by its reader or its signal. */
  readonly onCancel: (reply: Reply, reason: unknown) => void;
}

/** Most bytes of logits that one step may give for the tokens of a prompt. */
const MAX_PROMPT_LOGITS_BYTES = 2 ** 26;

export class Reply implements Task {
  readonly sequence: Sequence;
  readonly generation: Generation;
  readonly chooser: TokenChooser;
  readonly draftLength: DraftLength | null;
  /** Other replies to the same prompt, which branch off when it is computed. */
  siblings: readonly Reply[] = [];
  readonly #request: CheckedRequest;
  readonly #vocabSize: number;
  readonly #knownVocabSize: number;
  readonly #text: TextStream | null;
  readonly #output = { ids: [] as number[], text: '' };
  readonly #logprobs: TokenLogprobs[] | null;
  #promptLogprobs: TokenLogprobs[] | null;
  readonly #speculation = { drafted: 0, accepted: 0 };
  readonly #createdAt = performance.now();
  #startedAt: number | null = null;
  #firstTokenAt: number | null = null;
  readonly #stopListening: () => void;

  constructor(request: CheckedRequest, signal: AbortSignal | undefined, options: ReplyOptions) {
    const { tokenizer, vocabSize, index, draftLength, onCancel } = options;
    this.#request = request;
    this.#vocabSize = vocabSize;
    this.#knownVocabSize = tokenizer?.vocabSize ?? vocabSize; // models pad their vocabulary
    this.draftLength = draftLength;
    this.sequence = new Sequence(request.promptIds, request.maxLength, {
      isPromptWanted: request.promptLogprobs !== null,
      maxChunkTokens: request.promptLogprobs === null ? Infinity : maxPromptRows(vocabSize),
    });
    this.generation = new Generation(() => onCancel(this, new Error('nobody reads the reply')));
    this.chooser = new TokenChooser(request, randomStream(request.seed, index === 0 ? 'sample' : `sample ${index}`));
    this.#text = tokenizer ? new TextStream(tokenizer.streamDecoder({ skipSpecial: true }), request.stopStrings) : null;
    this.#logprobs = request.logprobs === null ? null : [];
    this.#promptLogprobs = request.promptLogprobs === null ? null : [];
    const onAbort = () => onCancel(this, signal!.reason);
    signal?.addEventListener('abort', onAbort);
    this.#stopListening = () => signal?.removeEventListener('abort', onAbort);
  }

  begin({ numTokens, numDrafted }: Scheduled): Chunk['logits'] {
    const { numComputed, length, promptLength } = this.sequence;
    this.#startedAt ??= performance.now();
    const isPromptRowWanted = this.#promptLogprobs && numComputed + 1 < promptLength;
    if (isPromptRowWanted || numDrafted > 0) return 'all';
    return numComputed + numTokens === length ? 'last' : 'none';
  }

  receive({ numTokens, numDrafted }: Scheduled, logits: Logits): Progress {
    const { numComputed, length } = this.sequence;
    const row = (index: number) => logits.subarray(index * this.#vocabSize, (index + 1) * this.#vocabSize);
    const numRows = logits.length / this.#vocabSize;
    if (this.#promptLogprobs && numRows >= numTokens) this.#readPrompt(numComputed - numTokens, numTokens, row);
    if (numComputed < length) return { numAccepted: 0, isOver: false };
    let numAccepted = 0;
    let isOver = false;
    for (let i = numRows - 1 - numDrafted; i < numRows && !isOver; i++) {
      const guess = this.sequence.ids(this.sequence.length, this.sequence.length + 1)[0];
      const id = this.advance(row(i));
      isOver = id === null;
      if (i === numRows - 1 || id !== guess) break;
      numAccepted++;
    }
    this.#speculation.drafted += numDrafted;
    this.#speculation.accepted += numAccepted;
    this.draftLength?.observe(numDrafted, numAccepted);
    return { numAccepted, isOver };
  }

  /** Draws the next token from these logits; null if the reply is complete. */
  advance(logits: Logits): number | null {
    this.#firstTokenAt ??= performance.now();
    const id = this.chooser.choose(logits.subarray(0, this.#knownVocabSize));
    const known = id !== null && this.#logprobs ? logprobsOf(logits, id, this.#request.logprobs!) : null;
    if (id === null || this.#request.stopIds.has(id)) return this.#complete('stop', id, known);
    const { sequence } = this;
    sequence.append(id);
    this.chooser.advance(id);
    this.#output.ids.push(id);
    if (known) this.#logprobs!.push(known);
    this.#emit(id, this.#text?.push(id) ?? '', known);
    if (this.#text?.isStopped) return this.#complete('stop');
    return sequence.length === sequence.maxLength ? this.#complete('length') : id;
  }

  /** Takes over what another reply to the same prompt learned of it. */
  branchFrom(other: Reply): void {
    this.#startedAt = other.#startedAt;
    this.#promptLogprobs = other.#promptLogprobs;
    this.sequence.numCached = other.sequence.numCached;
  }

  fail(error: unknown): void {
    this.#stopListening();
    this.generation.fail(error);
  }

  /** Log-probabilities of the prompt tokens that rows [start, start + numRows) predict. */
  #readPrompt(start: number, numRows: number, row: (index: number) => Logits): void {
    const { promptLength } = this.sequence;
    const ids = this.sequence.ids(0, promptLength);
    const entries = this.#promptLogprobs!;
    if (entries.length === 0) entries.push({ id: ids[0]!, logprob: null, topLogprobs: [] });
    for (let i = 0; i < numRows && start + i + 1 < promptLength; i++) {
      const position = start + i + 1;
      if (position === entries.length) {
        entries.push(logprobsOf(row(i), ids[position]!, this.#request.promptLogprobs!));
      }
    }
  }

  #emit(id: number | null, text: string, known: TokenLogprobs | null): void {
    this.#output.text += text;
    this.generation.push({ id, text, logprob: known?.logprob ?? null, topLogprobs: known?.topLogprobs ?? [] });
  }

  #complete(finishReason: FinishReason, stopId: number | null = null, stopLogprobs: TokenLogprobs | null = null): null {
    const rest = this.#text?.flush() ?? '';
    if (rest !== '') this.#emit(null, rest, null);
    this.#stopListening();
    const result: GenerationResult = {
      ...this.#output,
      finishReason,
      stopId,
      stopLogprobs,
      promptTokens: this.sequence.promptLength,
      cachedTokens: this.sequence.numCached ?? 0,
      logprobs: this.#logprobs,
      promptLogprobs: this.#promptLogprobs,
      speculation: this.#speculation,
      timings: this.#timings(),
    };
    this.generation.complete(result);
    return null;
  }

  #timings(): GenerationResult['timings'] {
    const now = performance.now();
    const startedAt = this.#startedAt ?? now;
    const firstTokenAt = this.#firstTokenAt ?? now;
    const prefillMs = firstTokenAt - startedAt;
    const decodeMs = now - firstTokenAt;
    return {
      queuedMs: startedAt - this.#createdAt,
      prefillMs,
      decodeMs,
      prefillTps: perSecond(this.sequence.promptLength, prefillMs),
      decodeTps: perSecond(Math.max(0, this.#output.ids.length - 1), decodeMs),
    };
  }
}

function maxPromptRows(vocabSize: number): number {
  return Math.max(1, Math.floor(MAX_PROMPT_LOGITS_BYTES / (4 * vocabSize)));
}

function perSecond(count: number, ms: number): number {
  return ms > 0 ? (1000 * count) / ms : 0;
}
