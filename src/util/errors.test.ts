import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import {
  CapacityError,
  ConfigError,
  CriaError,
  FormatError,
  invariant,
  RequestError,
  ShapeError,
  UsageError,
} from './errors.ts';

describe('errors', () => {
  it('carry a stable code, their own name and the cause', () => {
    const cause = new Error('disk');
    const cases = [
      [new ShapeError('x', { cause }), 'E_SHAPE', 'ShapeError'],
      [new ConfigError('x', { cause }), 'E_CONFIG', 'ConfigError'],
      [new FormatError('x', { cause }), 'E_FORMAT', 'FormatError'],
      [new CapacityError('x', { cause }), 'E_CAPACITY', 'CapacityError'],
      [new RequestError(404, 'x', { cause }), 'E_REQUEST', 'RequestError'],
      [new UsageError('x', { cause }), 'E_USAGE', 'UsageError'],
    ] as const;
    for (const [error, code, name] of cases) {
      assert.ok(error instanceof CriaError && error instanceof Error);
      assert.equal(error.code, code);
      assert.equal(error.name, name);
      assert.equal(error.cause, cause);
    }
    assert.equal(new RequestError(429, 'slow down').status, 429);
  });

  it('invariant narrows and throws E_INTERNAL', () => {
    const value: string | null = 'a' as string | null;
    invariant(value !== null, 'internal: value');
    assert.equal(value.length, 1);
    assert.throws(() => invariant(false, 'internal: broken'), { code: 'E_INTERNAL', message: 'internal: broken' });
  });
});
