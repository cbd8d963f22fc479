/**
 * Guesses with a small model of the same vocabulary: it draws the next tokens as the large one will, with the same parameters, constraint and
 * random numbers, so that like distributions give like tokens. Keeps its own KV cache, a table per sequence.
 */
import { ConfigError } from '../util/errors.ts';
import { BlockManager, type BlockTable } from './block-manager.ts';
import type { Runner } from './engine.ts';
import type { Chunk } from './model-runner.ts';
import type { Logits } from './sampler.ts';
import type { Sequence } from './sequence.ts';
import type { Drafter, DraftRequest } from './speculation.ts';
import type { TokenChooser } from './token-chooser.ts';
import { logSumExp } from './token-logprobs.ts';

export interface ModelDrafterOptions {
  readonly maxDraftTokens: number;
  /** Tokens that both models know. */
  readonly vocabSize: number;
}

/** Most tokens that the small model reads in one go, so that a long prompt does not hold up other sequences. */
const MAX_CATCH_UP = 256;
/** A token that the small model itself finds less likely ends its guesses (transformers' assistant_confidence_threshold). */
const LEAST_CONFIDENCE = 0.4;

/** What the small model has read of a sequence. */
interface Reading extends BlockTable {
  numComputed: number;
  /** Length of the sequence when the last guesses were made, and those of them that were read. */
  guessedAt: number;
  guessed: readonly number[];
}

/** One round of guesses for one sequence. */
interface Round {
  readonly sequence: Sequence;
  readonly reading: Reading;
  readonly chooser: TokenChooser;
  readonly maxTokens: number;
  readonly draft: number[];
  isOver: boolean;
}

export class ModelDrafter implements Drafter {
  readonly maxDraftTokens: number;
  readonly #runner: Runner;
  readonly #vocabSize: number;
  readonly #blocks: BlockManager;
  readonly #readings = new Map<Sequence, Reading>();

  constructor(runner: Runner, { maxDraftTokens, vocabSize }: ModelDrafterOptions) {
    if (runner.model.config.vocabSize < vocabSize) {
      throw new ConfigError(
        `the draft model knows ${runner.model.config.vocabSize} tokens and the model ${vocabSize}; use one of the same vocabulary`,
      );
    }
    this.#runner = runner;
    this.#vocabSize = vocabSize;
    this.maxDraftTokens = maxDraftTokens;
    this.#blocks = new BlockManager(runner.model.numBlocks);
  }

  async propose(requests: readonly DraftRequest[]): Promise<readonly (readonly number[])[]> {
    const rounds = requests.map((request) => this.#begin(request));
    await this.#readNewTokens(rounds.filter(({ isOver }) => !isOver));
    for (;;) {
      const going = rounds.filter(({ isOver }) => !isOver);
      if (going.length === 0) break;
      const logits = await this.#runner.run(going.map(chunkOfGuess));
      for (const [i, round] of going.entries()) this.#guess(round, logits[i]!);
    }
    for (const { sequence, reading, draft } of rounds) {
      // The last guess was not read.
      Object.assign(reading, { guessedAt: sequence.length, guessed: draft.slice(0, -1) });
    }
    return rounds.map(({ draft }) => draft);
  }

  forget(sequence: Sequence): void {
    const reading = this.#readings.get(sequence);
    if (reading) this.#blocks.release(reading);
    this.#readings.delete(sequence);
  }

  dispose(): void {
    this.#runner.dispose();
  }

  #begin({ sequence, chooser, maxTokens }: DraftRequest): Round {
    const reading = this.#readings.get(sequence) ?? emptyReading();
    this.#readings.set(sequence, reading);
    takeBackWrongGuesses(reading, sequence);
    const numTokens = sequence.length + maxTokens;
    const hasRoom = numTokens <= this.#runner.model.contextLength && this.#makeRoom(reading, sequence, numTokens);
    return { sequence, reading, chooser: chooser.clone(), maxTokens, draft: [], isOver: !hasRoom };
  }

  /** Allocates, if need be by forgetting sequences that do not run. */
  #makeRoom(reading: Reading, sequence: Sequence, numTokens: number): boolean {
    for (const other of this.#readings.keys()) {
      if (this.#blocks.canGrow(reading, numTokens)) break;
      if (other !== sequence && other.status !== 'running') this.forget(other);
    }
    if (!this.#blocks.canGrow(reading, numTokens)) return false;
    this.#blocks.grow(reading, numTokens);
    return true;
  }

  /** Reads what the sequences have that the small model has not seen, and guesses their next token where that is all. */
  async #readNewTokens(rounds: readonly Round[]): Promise<void> {
    if (rounds.length === 0) return;
    const ends = rounds.map(({ sequence, reading }) => Math.min(sequence.length, reading.numComputed + MAX_CATCH_UP));
    const chunks = rounds.map(({ sequence, reading }, i): Chunk => {
      const ids = sequence.ids(reading.numComputed, ends[i]!);
      const logits = ends[i] === sequence.length ? 'last' : 'none';
      return { ids, startPos: reading.numComputed, blockIds: [...reading.blockIds], logits };
    });
    const logits = await this.#runner.run(chunks);
    for (const [i, round] of rounds.entries()) {
      round.reading.numComputed = ends[i]!;
      if (logits[i]!.length === 0) round.isOver = true;
      else this.#guess(round, logits[i]!);
    }
  }

  #guess(round: Round, logits: Logits): void {
    const { chooser, draft, maxTokens } = round;
    const known = logits.subarray(0, this.#vocabSize);
    const id = chooser.choose(known);
    round.isOver = true;
    if (id === null || chooser.isStop(id)) return;
    chooser.advance(id);
    draft.push(id);
    const isLikely = known[id]! - logSumExp(known) >= Math.log(LEAST_CONFIDENCE);
    round.isOver = draft.length === maxTokens || !isLikely || round.sequence.status !== 'running';
  }
}

function emptyReading(): Reading {
  return { blockIds: [], numPublished: 0, numComputed: 0, guessedAt: 0, guessed: [] };
}

/** Keeps what was read of the sequence as it now is: its tokens then, and the guesses that came true. */
function takeBackWrongGuesses(reading: Reading, sequence: Sequence): void {
  const { guessedAt, guessed } = reading;
  if (reading.numComputed < guessedAt) return; // it had not read all tokens, so it did not guess
  const fresh = sequence.ids(guessedAt, sequence.length);
  let numRight = 0;
  while (numRight < guessed.length && guessed[numRight] === fresh[numRight]) numRight++;
  reading.numComputed = Math.min(guessedAt + numRight, sequence.length - 1); // the last token is read again for its logits
}

/** The last guess, to be read at its place behind the tokens. */
function chunkOfGuess({ sequence, reading, draft }: Round): Chunk {
  const ids = [draft.at(-1)!];
  return { ids, startPos: sequence.length + draft.length - 1, blockIds: [...reading.blockIds], logits: 'last' };
}
