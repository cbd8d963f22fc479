import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { availableProcessors } from './available-processors.ts';
import { nativeUnavailableReason } from './native-addon.ts';
import { openBackend } from './open-backend.ts';

const skip = nativeUnavailableReason() ?? false;
const before = process.env['CRIA_THREADS'];

function warningsWith(threads: number | null, wanted: string | null): string[] {
  if (threads === null) delete process.env['CRIA_THREADS'];
  else process.env['CRIA_THREADS'] = String(threads);
  const warnings: string[] = [];
  openBackend((line) => warnings.push(line), wanted);
  return warnings;
}

describe('opening a backend', () => {
  afterEach(() => {
    if (before === undefined) delete process.env['CRIA_THREADS'];
    else process.env['CRIA_THREADS'] = before;
  });

  it('warns of more threads than processors, however the native one was chosen', { skip }, () => {
    const processors = availableProcessors();
    for (const wanted of ['native', null]) {
      const [warning, ...others] = warningsWith(processors + 1, wanted);
      assert.match(warning!, new RegExp(`^slow: ${processors + 1} threads .*CRIA_THREADS to at most ${processors}$`));
      assert.deepEqual(others, []);
    }
  });

  it('does not warn of as many threads as there are processors, of one, or of the default', { skip }, () => {
    for (const threads of [availableProcessors(), 1, null]) assert.deepEqual(warningsWith(threads, 'native'), []);
  });

  it('does not warn of threads where none compute', () => {
    assert.deepEqual(warningsWith(1000, 'reference'), []);
  });
});
