import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createCriaServer } from './server.ts';
import { toyCatalog } from './toy-catalog.ts';

it('/api/show tells the metadata but for lists, integers beyond 2^53 as the nearest number', async () => {
  const catalog = toyCatalog();
  const { app } = await createCriaServer({
    ...catalog,
    details: async (entry) => ({
      ...(await catalog.details(entry)),
      metadata: { 'general.seed': 2n ** 63n + 1n, 'general.name': 'Toy', 'llama.causal': true, tokens: ['a'] },
    }),
  });
  const response = await app.request('/api/show', { method: 'POST', body: JSON.stringify({ model: 'toy' }) });
  assert.equal(response.status, 200);
  const { model_info: info } = (await response.json()) as { model_info: Record<string, unknown> };
  assert.deepEqual(
    [info['general.seed'], info['general.name'], info['llama.causal'], 'tokens' in info],
    [2 ** 63, 'Toy', true, false],
  );
});
