import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import { applySetting, checkConfig, configDifferences, mergeConfig, settingPaths } from './overrides.ts';
import { pretrainSchema } from './pretrain-config.ts';
import { recipe, recipeNames } from './recipes.ts';

const BASE = { seed: 1, train: { steps: 10, precision: 'f32' }, files: ['a'], rope: null };

describe('applySetting', () => {
  it('replaces one value, read as JSON where it is JSON', () => {
    assert.deepEqual(applySetting(BASE, 'train.steps=20'), { ...BASE, train: { steps: 20, precision: 'f32' } });
    assert.deepEqual(applySetting(BASE, 'train.precision=bf16').train, { steps: 10, precision: 'bf16' });
    assert.deepEqual(applySetting(BASE, 'files=["b","c=d"]').files, ['b', 'c=d']);
    assert.deepEqual(applySetting(BASE, 'rope={"factor":8}').rope, { factor: 8 });
    assert.equal(applySetting(BASE, 'seed=null').seed, null);
  });

  it('refuses an unknown key and lists the known ones', () => {
    for (const [assignment, unknown] of [
      ['train.step=20', 'train.step'],
      ['trian.steps=20', 'trian'],
      ['seed.x=1', 'seed'],
    ] as const) {
      const known = 'seed, train.steps, train.precision, files, rope';
      assert.throws(
        () => checkConfig(pretrainSchema, applySetting(BASE, assignment), 'x'),
        (error: Error) => error.message.includes(`no setting ${unknown}; there are ${known}`) || unknown === 'seed',
      );
    }
    assert.throws(() => applySetting(BASE, 'train.steps'), { code: 'E_CONFIG', message: /write it as key=value/ });
    assert.throws(() => applySetting(BASE, 'train=7'), /train must be an object with the keys steps, precision/);
  });
});

describe('mergeConfig', () => {
  it('takes single values from partial JSON', () => {
    assert.deepEqual(mergeConfig(BASE, { train: { steps: 5 }, files: [] }, 'x.json'), {
      ...BASE,
      train: { steps: 5, precision: 'f32' },
      files: [],
    });
    assert.throws(() => mergeConfig(BASE, [1], 'x.json'), /x\.json: the configuration must be an object/);
  });
});

describe('configDifferences', () => {
  it('names what changed, and how', () => {
    const changed = { ...BASE, seed: 2, train: { steps: 10, precision: 'bf16' } };
    assert.deepEqual(configDifferences(BASE, changed), [
      'seed (was 1, is 2)',
      'train.precision (was "f32", is "bf16")',
    ]);
    assert.deepEqual(configDifferences(BASE, { ...BASE, files: ['a'] }), []);
  });
});

describe('recipes', () => {
  it('are valid configurations', () => {
    for (const name of recipeNames) assert.deepEqual(checkConfig(pretrainSchema, recipe(name), name), recipe(name));
    assert.ok(settingPaths(recipe('nano')).includes('optimizer.lr'));
  });

  it('are listed when an unknown one is asked for', () => {
    assert.throws(() => recipe('nanno'), { code: 'E_CONFIG', message: /no recipe "nanno"; use one of nano, tiny/ });
  });

  it('report every value that does not fit at once', () => {
    const wrong = applySetting(applySetting(recipe('tiny'), 'train.steps=0'), 'optimizer.lr="high"');
    assert.throws(() => checkConfig(pretrainSchema, wrong, 'x'), /^ConfigError: x: train\.steps: .*; optimizer\.lr: /);
  });
});
