import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { TextStream } from './text-stream.ts';

/** A decoder whose token i is the i-th of `pieces`. */
function decoderOf(pieces: readonly string[]) {
  return { push: (id: number) => pieces[id]!, flush: () => '' };
}

/** What is released token by token, and at the end. */
function stream(pieces: readonly string[], stopStrings: readonly string[]): string[] {
  const text = new TextStream(decoderOf(pieces), stopStrings);
  const released: string[] = [];
  for (let id = 0; id < pieces.length && !text.isStopped; id++) released.push(text.push(id));
  return [...released, text.flush()];
}

describe('text stream', () => {
  it('ends before the first stop string, wherever tokens divide it', () => {
    assert.deepEqual(stream(['ab', 'c#', '#', '#d'], ['##']), ['ab', 'c', '', '']);
    assert.deepEqual(stream(['one\nUs', 'er: two'], ['\nUser:', 'x']), ['one', '', '']);
    assert.deepEqual(stream(['a', 'b', 'c'], ['bc', 'b']), ['a', '', '']);
  });

  it('releases what was held back when it was no stop string after all', () => {
    assert.deepEqual(stream(['a#', 'b#'], ['##']), ['a', '#b', '#']);
  });

  it('gives the text up to the earliest stop string for any text, division and stop strings', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 20 }), fc.array(letters, { maxLength: 3 }), (pieces, stops) => {
        // Generation ends with the token that completes a stop string.
        const prefixes = pieces.map((_, i) => pieces.slice(0, i + 1).join(''));
        const whole = prefixes.find((text) => stops.some((stop) => text.includes(stop))) ?? pieces.join('');
        const starts = stops.map((stop) => whole.indexOf(stop)).filter((at) => at !== -1);
        const expected = whole.slice(0, Math.min(whole.length, ...starts));
        assert.equal(stream(pieces, stops).join(''), expected);
      }),
      { numRuns: 1000 },
    );
  });

  it('refuses an empty stop string', () => {
    assert.throws(() => new TextStream(decoderOf([]), ['']), { name: 'ConfigError' });
  });
});
