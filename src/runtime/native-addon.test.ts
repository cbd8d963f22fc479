import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ConfigError } from '../util/errors.ts';
import { checkAddon, hashOfSources, nativeUnavailableReason, requireAddon } from './native-addon.ts';
import { OPERATORS } from './native-lowering.ts';

const skip = nativeUnavailableReason() ?? false;
const isRefusal = (error: Error) => error instanceof ConfigError && error.message.includes('run "npm run install"');

describe('the addon', () => {
  const fitting = { operators: () => OPERATORS, sourcesHash: () => 'abc' };

  it('carries the hash of the sources it was built from', { skip }, () => {
    assert.equal(requireAddon().sourcesHash(), hashOfSources(new URL('../../kernels/', import.meta.url)));
  });

  it('is taken where it fits the sources, or where there are none to compare it with', () => {
    checkAddon(fitting, 'abc');
    checkAddon(fitting, null);
  });

  it('is refused beside other sources, with what to do', () => {
    assert.throws(() => checkAddon(fitting, 'abd'), isRefusal);
    assert.throws(() => checkAddon({ operators: () => OPERATORS }, 'abc'), isRefusal);
  });

  it('is refused when its operators are others than ours', () => {
    assert.throws(() => checkAddon({ ...fitting, operators: () => OPERATORS.slice(1) }, null), isRefusal);
    assert.throws(() => checkAddon({}, null), isRefusal);
  });
});

describe('the hash of the sources', () => {
  let folder: string;
  const hash = () => hashOfSources(pathToFileURL(`${folder}/`));
  const write = (name: string, text: string) => writeFileSync(path.join(folder, name), text);
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'cria-sources-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('is none where there are no sources', () => {
    assert.equal(hash(), null);
    mkdirSync(path.join(folder, 'dist'));
    write('build.ts', 'x');
    assert.equal(hash(), null);
    rmSync(folder, { recursive: true });
    assert.equal(hash(), null);
    mkdirSync(folder);
  });

  it('changes with the text and the name of a source or header, and with nothing else', () => {
    write('a.cpp', '1');
    const before = hash();
    write('build.ts', 'x');
    assert.equal(hash(), before);
    write('b.h', '');
    const withHeader = hash();
    assert.notEqual(withHeader, before);
    write('b.h', '2');
    assert.notEqual(hash(), withHeader);
  });
});
