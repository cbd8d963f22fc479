import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { refuseOverlong } from './prompt-length.ts';
import { createCriaServer } from './server.ts';
import { toyCatalog } from './toy-catalog.ts';

/** A token a character, a millisecond a call; `seen` counts characters. */
function slowModel(contextLength: number, seen: { chars: number }) {
  const encode = (text: string) => {
    const until = performance.now() + 1;
    while (performance.now() < until);
    seen.chars += text.length;
    return Array.from(text, () => 0);
  };
  return { tokenizer: { encode }, model: { contextLength } } as unknown as Parameters<typeof refuseOverlong>[0];
}

describe('prompts far longer than the context', () => {
  it('are refused by every route, with how many tokens there are at least', async () => {
    const server = await createCriaServer(toyCatalog(), { settings: { loadWaitMs: 60_000 } });
    const long = 'x'.repeat(3_000_000);
    const messages = [{ role: 'user', content: long }];
    for (const [path, body, param] of [
      ['/v1/chat/completions', { messages }, 'messages'],
      ['/v1/completions', { prompt: ['short', long] }, 'prompt'],
      ['/v1/embeddings', { input: long }, 'input'],
    ] as const) {
      const response = await server.app.request(path, {
        method: 'POST',
        body: JSON.stringify({ model: 'toy', ...body }),
      });
      const { error } = (await response.json()) as { error: Record<string, string | number> };
      assert.deepEqual([response.status, error['code'], error['param']], [400, 'context_length_exceeded', param]);
      assert.ok((error['n_prompt_tokens'] as number) > 512 && (error['n_prompt_tokens'] as number) < 20_000);
    }
    for (const [path, body] of [
      ['/api/chat', { messages }],
      ['/api/generate', { prompt: long }],
      ['/api/embed', { input: [long] }],
    ] as const) {
      const response = await server.app.request(path, {
        method: 'POST',
        body: JSON.stringify({ model: 'toy', ...body }),
      });
      assert.equal(response.status, 400);
      assert.match(
        ((await response.json()) as { error: string }).error,
        /256 tokens long; the prompt has more than \d+ tokens/,
      );
    }
    assert.ok(await server.registry.unload('toy'), 'no request holds the model any more');
  });

  it('are counted no further than needed, and the event loop turns meanwhile', async () => {
    const seen = { chars: 0 };
    const turns = { count: 0 };
    const turn = setInterval(() => turns.count++, 1);
    await assert.rejects(
      refuseOverlong(slowModel(100_000, seen), [['a'.repeat(2_000_000)]], 'prompt'),
      (error: object) => {
        assert.deepEqual((error as { extra: object }).extra, { n_prompt_tokens: seen.chars, n_ctx: 100_000 });
        return true;
      },
    );
    clearInterval(turn);
    assert.ok(seen.chars > 200_000 && seen.chars < 220_000, `${seen.chars} characters were tokenized`);
    assert.ok(turns.count > 3, `${turns.count} turns`);
  });

  it('may be made of short texts, or be none at all', async () => {
    const seen = { chars: 0 };
    const texts = Array.from({ length: 400 }, () => 'b'.repeat(1000));
    await assert.rejects(refuseOverlong(slowModel(1000, seen), [['short'], texts], 'messages'), { param: 'messages' });
    const before = seen.chars;
    await refuseOverlong(slowModel(1000, seen), [['a'.repeat(60_000)]], 'prompt'); // exact counts come later
    assert.equal(seen.chars, before);
  });
});
