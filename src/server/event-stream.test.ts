import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { describe, it, type TestContext } from 'node:test';
import { eventStream } from './event-stream.ts';

/** A stream whose pieces the test gives, and whose time it tells. */
function standIn(t: TestContext, ping: string | null = ': ping\n') {
  t.mock.timers.enable({ apis: ['setInterval'] });
  let nowMs = 0;
  t.mock.method(performance, 'now', () => nowMs);
  const source = new EventEmitter();
  const seen: string[] = [];
  const pieces = {
    next: async () => {
      const [value] = (await once(source, 'piece')) as [string | null];
      return value === null ? ({ done: true, value: undefined } as const) : { done: false, value };
    },
  };
  const stream = eventStream(pieces, {
    ping,
    pingMs: 1000,
    stallMs: 4000,
    onGone: ({ name }) => seen.push(`gone: ${name}`),
    onError: (error) => {
      seen.push('error');
      return `error: ${(error as Error).message}`;
    },
    onOver: () => seen.push('over'),
  });
  return {
    stream,
    seen,
    fail: (message: string) => source.emit('error', new Error(message)),
    async give(piece: string | null) {
      source.emit('piece', piece);
      await setImmediate();
    },
    pass(ms: number) {
      for (const end = nowMs + ms; nowMs < end;) {
        nowMs += 125;
        t.mock.timers.tick(125);
      }
    },
  };
}

const textOf = async (reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string | null> => {
  const { done, value } = await reader.read();
  return done ? null : Buffer.from(value).toString();
};

describe('an event stream', () => {
  it('gives pieces as they come and ends with them', async (t) => {
    const at = standIn(t);
    const reader = at.stream.getReader();
    await setImmediate();
    await at.give('a');
    assert.equal(await textOf(reader), 'a');
    await at.give(null);
    assert.equal(await textOf(reader), null);
    assert.deepEqual(at.seen, ['over']);
  });

  it('pings a reader who waits, and waits for a slow piece as long as it takes', async (t) => {
    const at = standIn(t);
    const reader = at.stream.getReader();
    await setImmediate();
    const first = textOf(reader);
    at.pass(875);
    at.pass(125);
    assert.equal(await first, ': ping\n');
    const next = textOf(reader);
    at.pass(875);
    await at.give('a');
    assert.equal(await next, 'a');
    at.pass(20_000);
    assert.deepEqual(at.seen, []);
  });

  it('waits as long where the format has no pings', async (t) => {
    const at = standIn(t, null);
    const reader = at.stream.getReader();
    await setImmediate();
    const first = textOf(reader);
    at.pass(20_000);
    await at.give('a');
    assert.equal(await first, 'a');
    assert.deepEqual(at.seen, []);
  });

  it('gives up a reader who takes nothing, not one who takes his time', async (t) => {
    const at = standIn(t);
    const reader = at.stream.getReader();
    await setImmediate();
    await at.give('a');
    at.pass(3875);
    assert.equal(await textOf(reader), 'a');
    await at.give('b');
    at.pass(3875);
    assert.deepEqual(at.seen, []);
    at.pass(125);
    assert.deepEqual(at.seen, ['gone: AbortError', 'over']);
    await assert.rejects(reader.read(), { name: 'AbortError' });
  });

  it('tells what went wrong with the pieces, and ends', async (t) => {
    const at = standIn(t);
    const reader = at.stream.getReader();
    await setImmediate();
    at.fail('no more');
    assert.equal(await textOf(reader), 'error: no more');
    assert.equal(await textOf(reader), null);
    assert.deepEqual(at.seen, ['error', 'over']);
  });

  it('ends with its reader, and sends nothing after that', async (t) => {
    const at = standIn(t);
    await setImmediate();
    await at.stream.cancel();
    const seen = [...at.seen];
    assert.deepEqual(seen.length, 2);
    await at.give('a');
    at.pass(20_000);
    assert.deepEqual(at.seen, seen);
  });
});
