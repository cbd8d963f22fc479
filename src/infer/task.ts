/**
 * What the engine runs: replies and embeddings, as it sees them.
 */
import type { Chunk } from './model-runner.ts';
import type { Logits } from './sampler.ts';
import type { Scheduled } from './scheduler.ts';
import type { Sequence } from './sequence.ts';

/** What a step brought a task. */
export interface Progress {
  /** Drafted tokens that were right. */
  readonly numAccepted: number;
  /** Whether the task is complete. */
  readonly isOver: boolean;
}

export interface Task {
  readonly sequence: Sequence;
  /** Called before each step that the task is part of; tells what is wanted of its tokens. */
  begin(scheduled: Scheduled): Chunk['logits'];
  /** Takes what was wanted. Throws what makes the task fail. */
  receive(scheduled: Scheduled, output: Logits): Progress;
  /** Ends the task with an error. */
  fail(error: unknown): void;
}
