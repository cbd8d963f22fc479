/**
 * What Prometheus can ask: requests, queue, batch, KV cache, prefix cache, and how fast tokens come. Durations in seconds.
 * What to measure follows vLLM's metrics (docs/design/metrics), so that its dashboards carry over by renaming.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { GenerationResult } from '../infer/generation.ts';
import type { LoadedModel } from './model-registry.ts';

const FIRST_TOKEN_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const TOKEN_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];
const REQUEST_BUCKETS = [0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

export class Metrics {
  readonly #registry = new Registry();
  readonly #requests: Counter<'route' | 'status'>;
  readonly #durations: Histogram<'route'>;
  readonly #promptTokens: Counter<'model'>;
  readonly #cachedTokens: Counter<'model'>;
  readonly #replyTokens: Counter<'model'>;
  readonly #replies: Counter<'model' | 'finish_reason'>;
  readonly #firstToken: Histogram<'model'>;
  readonly #perToken: Histogram<'model'>;

  /** `loaded` gives the models in memory at the time of asking. */
  constructor(loaded: () => readonly LoadedModel[]) {
    const registers = [this.#registry];
    const counter = <T extends string>(name: string, help: string, labelNames: T[]) =>
      new Counter({ name, help, labelNames, registers });
    const histogram = <T extends string>(name: string, help: string, labelNames: T[], buckets: number[]) =>
      new Histogram({ name, help, labelNames, buckets, registers });
    this.#requests = counter('cria_http_requests_total', 'Requests answered', ['route', 'status']);
    this.#durations = histogram(
      'cria_http_request_duration_seconds',
      'From request to end of answer',
      ['route'],
      REQUEST_BUCKETS,
    );
    this.#promptTokens = counter('cria_prompt_tokens_total', 'Tokens of prompts', ['model']);
    this.#cachedTokens = counter('cria_prompt_tokens_cached_total', 'Tokens of prompts found in the prefix cache', [
      'model',
    ]);
    this.#replyTokens = counter('cria_generation_tokens_total', 'Tokens of replies', ['model']);
    this.#replies = counter('cria_replies_total', 'Replies by how they ended', ['model', 'finish_reason']);
    this.#firstToken = histogram(
      'cria_time_to_first_token_seconds',
      'From request to first token',
      ['model'],
      FIRST_TOKEN_BUCKETS,
    );
    this.#perToken = histogram(
      'cria_time_per_output_token_seconds',
      'Between tokens of a reply, its mean',
      ['model'],
      TOKEN_BUCKETS,
    );
    this.#addReadings(loaded);
    collectDefaultMetrics({ register: this.#registry });
  }

  /** A request is over. */
  countRequest(route: string, status: number, seconds: number): void {
    this.#requests.inc({ route, status: String(status) });
    this.#durations.observe({ route }, seconds);
  }

  /** A reply is over. `elapsedMs` is since its request came. */
  countReply(model: string, result: GenerationResult, elapsedMs: number): void {
    const { ids, promptTokens, cachedTokens, finishReason, timings } = result;
    this.#promptTokens.inc({ model }, promptTokens);
    this.#cachedTokens.inc({ model }, cachedTokens);
    this.#replyTokens.inc({ model }, ids.length);
    this.#replies.inc({ model, finish_reason: finishReason });
    this.#firstToken.observe({ model }, (elapsedMs - timings.decodeMs) / 1000);
    if (ids.length > 1) this.#perToken.observe({ model }, timings.decodeMs / 1000 / (ids.length - 1));
  }

  /** A reply ended without a result. */
  countLostReply(model: string, why: 'cancelled' | 'error'): void {
    this.#replies.inc({ model, finish_reason: why });
  }

  /** All of it in Prometheus' text format. */
  async render(): Promise<{ body: string; contentType: string }> {
    return { body: await this.#registry.metrics(), contentType: this.#registry.contentType };
  }

  /** What the engines count themselves is read when it is asked for; what only grows is a counter, from 0 again when a model is loaded again. */
  #addReadings(loaded: () => readonly LoadedModel[]): void {
    for (const [Kind, name, help, read] of READINGS) {
      const metric: Gauge<'model'> | Counter<'model'> = new Kind({
        name,
        help,
        labelNames: ['model'],
        registers: [this.#registry],
        collect: () => {
          metric.reset();
          for (const model of loaded()) metric.inc({ model: model.entry.id }, read(model));
        },
      });
    }
  }
}

const READINGS: readonly (readonly [
  kind: typeof Gauge | typeof Counter,
  name: string,
  help: string,
  read: (loaded: LoadedModel) => number,
])[] = [
  [Gauge, 'cria_requests_running', 'Sequences that are being computed', ({ model }) => model.engine.stats().numRunning],
  [
    Gauge,
    'cria_requests_waiting',
    'Sequences that wait for their turn',
    ({ model }) => model.engine.stats().numWaiting,
  ],
  [Gauge, 'cria_batch_size', 'Sequences in the last step', ({ model }) => model.engine.stats().lastBatchSize],
  [Gauge, 'cria_kv_blocks_used', 'KV blocks in use', ({ model }) => model.engine.stats().kvBlocksUsed],
  [Gauge, 'cria_kv_blocks_total', 'KV blocks there are', ({ model }) => model.engine.stats().kvBlocksTotal],
  [
    Counter,
    'cria_prefix_cache_queried_tokens_total',
    'Prompt tokens looked up in the prefix cache',
    ({ model }) => model.engine.stats().prefixQueriedTokens,
  ],
  [
    Counter,
    'cria_prefix_cache_hit_tokens_total',
    'Prompt tokens found in it',
    ({ model }) => model.engine.stats().prefixHitTokens,
  ],
  [
    Counter,
    'cria_preemptions_total',
    'Sequences that had to start over for lack of KV blocks',
    ({ model }) => model.engine.stats().preemptions,
  ],
  [Gauge, 'cria_model_bytes', 'Bytes of weights and KV cache', ({ model }) => model.sizeBytes],
];
