/**
 * Structured replies under everything that happens to replies: neighbours, too few KV blocks, cached prefixes, cancelled requests, limits of
 * length, stop strings, forgotten states. Only one that was cut may be no JSON, and says so.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { integer, randomStream } from '../util/rng.ts';
import { constraintVocabulary } from './constraint-vocabulary.ts';
import { createCriaServer, type CriaServer } from './server.ts';
import { toyCatalog } from './toy-catalog.ts';

/** Whole numbers below `most`, the next one each time. */
function drawing(seed: number): (most: number) => number {
  const stream = randomStream(seed, 'structured');
  let at = 0;
  return (most) => integer(stream, at++, most);
}
type Draw = ReturnType<typeof drawing>;

function randomSchema(draw: Draw, depth = 0): object {
  const kinds = [
    () => ({ type: 'boolean' }),
    () => ({ type: 'string', maxLength: draw(12) }),
    () => ({ type: 'integer', minimum: -draw(50), maximum: draw(5000) }),
    () => ({ enum: ['x', 'é🦙', null, 12.5].slice(draw(3)) }),
    () => ({ type: 'string', pattern: '^[a-c]{1,4}(日|-)?$' }),
    () => ({ type: 'array', items: randomSchema(draw, depth + 1), maxItems: 1 + draw(3) }),
    () => ({ anyOf: [randomSchema(draw, depth + 1), { type: 'null' }] }),
    () => randomObject(draw, depth),
  ];
  return depth === 0 ? randomObject(draw, depth) : kinds[draw(depth > 2 ? 5 : kinds.length)]!();
}

function randomObject(draw: Draw, depth: number): object {
  const names = ['a', 'name', 'é', 'x y'].slice(draw(3));
  const properties = Object.fromEntries(names.map((name) => [name, randomSchema(draw, depth + 1)]));
  return { type: 'object', properties, required: names.filter(() => draw(3) > 0), additionalProperties: false };
}

interface Asked {
  readonly schema: object;
  readonly body: { readonly max_tokens: number; readonly stop: readonly string[]; readonly stream: boolean };
  /** The client leaves after so many steps of the engine: time would make it depend on the machine. */
  readonly leavesAfterSteps: number | null;
}

/** Steps of the engine, and who waits for how many. */
class Steps {
  #count = 0;
  readonly #waiting = new Set<{ readonly at: number; readonly act: () => void }>();

  step(): void {
    this.#count++;
    for (const one of this.#waiting) {
      if (one.at > this.#count) continue;
      this.#waiting.delete(one);
      one.act();
    }
  }

  after(number: number, act: () => void): void {
    this.#waiting.add({ at: this.#count + number, act });
  }
}

function randomRequest(seed: number): Asked {
  const draw = drawing(seed);
  const schema = randomSchema(draw);
  const body = {
    messages: [{ role: 'user', content: 'hay '.repeat(draw(3) * 8) + 'llama' }],
    max_tokens: draw(3) === 0 ? 5 + draw(40) : 250,
    temperature: [0.8, 1.5][draw(2)],
    seed,
    n: 1 + draw(3),
    stream: draw(2) === 0,
    stop: draw(5) === 0 ? ['"a"', 'x'] : [],
    response_format: { type: 'json_schema', json_schema: { name: 's', schema } },
  };
  return { schema, body, leavesAfterSteps: draw(6) === 0 ? 1 + draw(30) : null };
}

interface Choice {
  text: string;
  finish: string | null;
}

async function choicesOf(response: Response, isStream: boolean): Promise<Choice[]> {
  assert.equal(response.status, 200);
  if (!isStream) {
    const { choices } = (await response.json()) as {
      choices: { message: { content: string }; finish_reason: string }[];
    };
    return choices.map(({ message, finish_reason: finish }) => ({ text: message.content, finish }));
  }
  const found: Choice[] = [];
  for (const line of (await response.text()).split('\n')) {
    if (!line.startsWith('data: {')) continue;
    const { choices, error } = JSON.parse(line.slice(6)) as {
      error?: object;
      choices: { index: number; delta: { content?: string }; finish_reason: string | null }[];
    };
    assert.equal(error, undefined, line);
    for (const { index, delta, finish_reason: finish } of choices) {
      const choice = (found[index] ??= { text: '', finish: null });
      choice.text += delta.content ?? '';
      choice.finish ??= finish;
    }
  }
  return found;
}

/** Asks and checks every choice; gives how each ended. */
async function ask(server: CriaServer, steps: Steps, { schema, body, leavesAfterSteps }: Asked): Promise<string[]> {
  const controller = new AbortController();
  if (leavesAfterSteps !== null) steps.after(leavesAfterSteps, () => controller.abort());
  const request = new Request('http://localhost/v1/chat/completions', {
    method: 'POST',
    body: JSON.stringify(body),
    signal: controller.signal,
  });
  const response = await server.app.fetch(request);
  if (controller.signal.aborted) return ['left'];
  const choices = await choicesOf(response, body.stream).catch((error) => error as Error);
  if (controller.signal.aborted) return ['left'];
  if (choices instanceof Error) throw choices;
  const isValid = new Ajv2020({ strict: false }).compile(schema);
  return choices.map(({ text, finish }) => {
    if (finish === 'length') return 'cut by its length';
    assert.equal(finish, 'stop');
    if (body.stop.length > 0 && !isJson(text)) return 'cut by a stop string';
    assert.ok(isValid(JSON.parse(text)), `${text} under ${JSON.stringify(schema)}`);
    return 'valid';
  });
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

describe('structured replies', () => {
  it('are valid unless their length or a stop string cut them, whatever runs beside them', async () => {
    const steps = new Steps();
    const catalog = toyCatalog({
      model: { contextLength: 512, batch: 1 },
      engine: { maxNumSequences: 6, maxNumBatchedTokens: 64, onStep: () => steps.step() },
    });
    const server = await createCriaServer(catalog, { registry: { pinned: ['toy'], maxWaiting: 1000 } });
    const lease = await server.registry.acquire('toy', { maxWaitMs: null, signal: new AbortController().signal });
    lease.release();
    const ends = new Map<string, number>();
    await Promise.all(
      [0, 1, 2, 3, 4].map(async (worker) => {
        for (let i = 0; i < 12; i++) {
          for (const end of await ask(server, steps, randomRequest(5 * i + worker)))
            ends.set(end, (ends.get(end) ?? 0) + 1);
          const { tokenizer } = server.registry.loaded()[0]!.model;
          if (i % 4 === worker % 4) constraintVocabulary(tokenizer).matcher.forget(); // states of replies under way too
        }
      }),
    );
    const { engine } = server.registry.loaded()[0]!.model;
    const { preemptions, prefixHitTokens } = engine.stats();
    assert.ok(preemptions > 0 && prefixHitTokens > 0, `${preemptions} preemptions, ${prefixHitTokens} cached tokens`);
    for (const kind of ['valid', 'cut by its length', 'cut by a stop string', 'left']) assert.ok(ends.has(kind), kind);
    assert.ok(ends.get('valid')! > 40, JSON.stringify([...ends]));
    engine.checkInvariants();
    await server.registry.close();
  });
});
