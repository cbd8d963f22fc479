import { strict as assert } from 'node:assert';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { RecordLog } from './record-log.ts';

const folder = mkdtempSync(join(tmpdir(), 'cria-log-'));
after(() => rmSync(folder, { recursive: true }));

/** What a log holds after it was opened at `lastStep` on `before` and given one more record. */
function continued(before: string, lastStep: number): string {
  const path = join(folder, 'log.jsonl');
  writeFileSync(path, before);
  const log = new RecordLog(path, lastStep);
  log.append({ step: 9, loss: 0.5 });
  log.sync();
  log.close();
  return readFileSync(path, 'utf8');
}

describe('RecordLog', () => {
  it('drops what is later than the step it continues from, and what a crash cut off', () => {
    const lines = [
      '{"step":1,"x":"\u00e9"}\n',
      '{"step":2}\n',
      '{"step":2,"val":1}\n',
      '{"step":3}\n',
      '{"step":4,"lo',
    ];
    const added = '{"step":9,"loss":0.5}\n';
    assert.equal(continued(lines.join(''), 2), lines.slice(0, 3).join('') + added);
    assert.equal(continued(lines.join(''), 99), lines.slice(0, 4).join('') + added);
    assert.equal(continued(lines.join(''), 0), added);
    assert.equal(continued('', 7), added);
  });
});
