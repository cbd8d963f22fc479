import { strict as assert } from 'node:assert';
import { execFile } from 'node:child_process';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { Command } from 'commander';
import { ConfigError, FormatError, invariant } from '../util/errors.ts';
import { type CommandIo, logLine, printJson } from './io.ts';
import { main } from './main.ts';

/** A command that fails the way it is told to, and one below another. */
function probe(io: CommandIo): Command {
  const command = new Command('probe').requiredOption('--fail <how>').action(({ fail }: { fail: string }) => {
    if (fail === 'config') throw new ConfigError('steps must be positive, got -1');
    if (fail === 'file') throw new FormatError('x.gguf: is cut off');
    if (fail === 'bug') invariant(false, 'internal: two cursors');
    logLine(io, 'working');
    printJson(io, { fail });
  });
  command.command('inner <text>').action((text: string) => printJson(io, text));
  return command;
}

/** Runs one command line; gives its status and what it wrote. */
async function run(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  const written = { stdout: '', stderr: '' };
  const sink = (name: 'stdout' | 'stderr') => new PassThrough().on('data', (text) => (written[name] += String(text)));
  const io = { stdin: new PassThrough(), stdout: sink('stdout'), stderr: sink('stderr'), env: {} };
  const status = await main(args, io, [probe]);
  return { status, out: written.stdout, err: written.stderr };
}

describe('main', () => {
  it('puts results on stdout and progress on stderr', async () => {
    assert.deepEqual(await run('probe', '--fail', 'no'), { status: 0, out: '{"fail":"no"}\n', err: 'working\n' });
  });

  it('ends with 2 and one sentence after a wrong call', async () => {
    for (const [args, message] of [
      [['porbe'], /^cria: unknown command 'porbe'.*probe/s],
      [['probe', '--fail', 'x', '--fial', 'x'], /^cria: unknown option '--fial'/],
      [['probe'], /^cria: required option '--fail <how>' not specified/],
      [['probe', '--fail', 'no', 'inner'], /^cria: missing required argument 'text'/],
      [['probe', '--fail', 'config'], /^cria: steps must be positive, got -1\n$/],
    ] as const) {
      const { status, out, err } = await run(...args);
      assert.deepEqual([status, out], [2, ''], String(args));
      assert.match(err, message);
    }
  });

  it('ends with 1 after a failed run, and shows the stack only with --debug', async () => {
    assert.deepEqual(await run('probe', '--fail', 'file'), { status: 1, out: '', err: 'cria: x.gguf: is cut off\n' });
    const bug = await run('probe', '--fail', 'bug');
    assert.match(bug.err, /^cria: this is a bug in cria: internal: two cursors; .*--debug.*\n$/);
    assert.match((await run('--debug', 'probe', '--fail', 'file')).err, /FormatError: .*\n\s+at /);
    assert.match((await run('probe', '--fail', 'file', '--debug')).err, /\n\s+at /);
  });

  it('counts help and version as success', async () => {
    for (const args of [['--help'], ['--version'], ['help'], ['probe', '--help']]) {
      const { status, out, err } = await run(...args);
      assert.deepEqual([status, err], [0, ''], String(args));
      assert.notEqual(out, '');
    }
    assert.equal((await run()).status, 0);
  });
});

describe('bin/cria.mjs', () => {
  it('starts from any folder and prints the version', async () => {
    const bin = new URL('../../bin/cria.mjs', import.meta.url).pathname;
    const { stdout } = await promisify(execFile)(process.execPath, [bin, '--version'], { cwd: '/' });
    assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
  });
});
