import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createCriaServer, type CriaServer } from './server.ts';
import { toyCatalog, toyTokenizer } from './toy-catalog.ts';

const TEXT = 'the llama and the hay é 🦙';

interface Token {
  readonly id: number;
  readonly bytes: readonly number[];
  readonly special: boolean;
  readonly start: number;
  readonly end: number;
}

describe('looking into a model over HTTP', () => {
  let server: CriaServer;
  before(async () => {
    server = await createCriaServer(toyCatalog(), { settings: { loadWaitMs: 60_000 } }); // a busy machine loads slowly
  });
  after(() => server.registry.close());

  const ask = async (name: string, body: object) => {
    const response = await server.app.request(`/inside/${name}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ model: 'toy', ...body }),
    });
    return { status: response.status, body: (await response.json()) as never };
  };

  it('tells the sizes of a model', async () => {
    const response = await server.app.request('/inside/model?model=toy');
    const info = (await response.json()) as {
      config: { numHeads: number };
      is_chat: boolean;
      kv_bytes_per_token: number;
    };
    assert.equal(info.config.numHeads, 6);
    assert.equal(info.is_chat, true);
    assert.equal(info.kv_bytes_per_token, 2 * 4 * 8 * 2 * 2); // K and V, f32, head dim, kv heads, layers
  });

  it('gives tokens with their bytes and places, as the tokenizer does', async () => {
    const { body } = await ask('tokens', { text: TEXT });
    const { tokens } = body as { tokens: Token[] };
    assert.deepEqual(
      tokens.map(({ id }) => id),
      toyTokenizer().encode(TEXT),
    );
    assert.equal(Buffer.from(tokens.flatMap(({ bytes }) => bytes)).toString(), TEXT);
    assert.equal(TEXT.slice(tokens.at(-1)!.start, tokens.at(-1)!.end), '🦙'); // a part of a character has all of it
  });

  it('keeps names of special tokens text unless asked', async () => {
    const text = '<|eot_id|>';
    const asText = (await ask('tokens', { text })).body as { tokens: Token[] };
    const asToken = (await ask('tokens', { text, special: true })).body as { tokens: Token[] };
    assert.ok(asText.tokens.every(({ special }) => !special));
    assert.deepEqual(
      asToken.tokens.map(({ special }) => special),
      [true],
    );
  });

  it('gives the tokens of a conversation as the model is given them', async () => {
    const messages = [{ role: 'user', content: 'the hay' }];
    const { tokens, rendered } = (await ask('tokens', { messages })).body as { tokens: Token[]; rendered: string };
    assert.equal(toyTokenizer().decode(tokens.map(({ id }) => id)), rendered);
    assert.match(rendered, /<\|start_header_id\|>assistant<\|end_header_id\|>\n\n$/);
  });

  it('shows merges that end in the tokens of the word', async () => {
    const { pieces } = (await ask('merges', { text: ' llama' })).body as {
      pieces: { tokens: Token[]; symbols: Token[] }[];
    };
    assert.equal(pieces[0]!.symbols.length, 6);
    assert.deepEqual(
      pieces.flatMap(({ tokens }) => tokens.map(({ id }) => id)),
      toyTokenizer().encode(' llama'),
    );
  });

  it('gives next tokens in falling order, and rows of attention that sum to 1', async () => {
    const next = (await ask('next', { text: TEXT, count: 7 })).body as { candidates: { probability: number }[] };
    const shares = next.candidates.map(({ probability }) => probability);
    assert.equal(shares.length, 7);
    assert.deepEqual(
      shares,
      shares.toSorted((a, b) => b - a),
    );
    const { rows, tokens } = (await ask('attention', { text: TEXT, layer: 1, head: 3 })).body as {
      rows: number[][];
      tokens: Token[];
    };
    assert.equal(rows.length, tokens.length);
    for (const [i, row] of rows.entries()) {
      assert.equal(row.length, i + 1);
      assert.ok(Math.abs(row.reduce((a, b) => a + b) - 1) < 0.01);
    }
  });

  it('refuses what cannot be shown, and says what can', async () => {
    const far = await ask('attention', { text: TEXT, layer: 9, head: 0 });
    assert.equal(far.status, 400);
    assert.match(JSON.stringify(far.body), /layer must be a whole number from 0 to 1/);
    const long = await ask('attention', { text: 'x'.repeat(257), layer: 0, head: 0 });
    assert.equal(long.status, 400);
    assert.equal((await ask('tokens', {})).status, 400);
    assert.equal((await ask('tokens', { model: 'none', text: '' })).status, 404);
  });
});
