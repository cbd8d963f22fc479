/**
 * `cria start`, what `npm start` runs: trains the small Shakespeare model in front of the user if there is none yet, then serves it with the
 * page; without a terminal, prints what it writes and ends, unless it is told to serve.
 */
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import type { PretrainConfig } from '../train/pretrain-config.ts';
import { renderDuration } from './format.ts';
import { generateCommand } from './generate.ts';
import { type CommandIo, logLine } from './io.ts';
import { nanoFolder } from './nano-folder.ts';
import { runPretraining } from './run-pretraining.ts';

const TEMPERATURE = '0.8';
const SAMPLE = ['--prompt', 'ROMEO:\n', '--max-tokens', '200', '--temperature', TEMPERATURE, '--seed', '1'];

/** The command, not yet run. */
export function startCommand(io: CommandIo): Command {
  return new Command('start')
    .description('train the small Shakespeare model if there is none yet, then serve it with the page')
    .option('--recipe <name>', 'train by another recipe', 'nano')
    .option('--serve', 'serve without a terminal too (or CRIA_SERVE=1); by default a sample is printed then')
    .option('--port <port>', 'port to listen on; by default 8080, or a free one if that is in use')
    .action(async ({ recipe: name, ...flags }: StartFlags & { recipe: string }) => {
      const { recipe } = await import('../train/recipes.ts');
      return start(recipe(name), io, flags);
    });
}

export interface StartFlags {
  readonly serve?: boolean;
  readonly port?: string;
}

/** Trains by `config` unless that is done, then serves, or prints a sample where nobody watches. */
export async function start(config: PretrainConfig, io: CommandIo, flags: StartFlags = {}): Promise<void> {
  const { checkpointSteps } = await import('../train/checkpoint.ts');
  const folder = nanoFolder(io.env);
  const newest = (await checkpointSteps(join(folder, 'checkpoints'))).at(-1);
  if (newest === undefined || newest < (await stepsWanted(folder, config))) {
    if (!(await trainModel(config, folder, io))) return;
  }
  const isWatched = io.stdin.isTTY === true && io.stdout.isTTY === true;
  if (!isWatched) await generateCommand(io).parseAsync(['--model', 'nano', ...SAMPLE], { from: 'user' });
  if (isWatched || flags.serve || io.env['CRIA_SERVE'] === '1') await serveNano(flags, io);
}

/** Serves nano until it is told to end. */
async function serveNano({ port }: StartFlags, io: CommandIo): Promise<void> {
  const [{ defaultServeFlags, serve }, { isPortFree }] = await Promise.all([
    import('./serve.ts'),
    import('../server/serve.ts'),
  ]);
  const defaults = defaultServeFlags(io);
  const chosen = port ?? ((await isPortFree(defaults.host, Number(defaults.port))) ? defaults.port : '0');
  await serve(['nano'], { ...defaults, port: chosen, logLevel: 'warn' }, io, (url) => {
    logLine(io, `Open ${url} in a browser and give it a beginning, such as ROMEO: or "To be"; Ctrl-C ends.`);
    logLine(io, 'Or write with it here in the terminal: npx cria chat nano');
  });
}

/** Steps of the run in the folder, by its own configuration where it has one. */
async function stepsWanted(folder: string, config: PretrainConfig): Promise<number> {
  const { readRunConfig } = await import('../train/run-folder.ts');
  const { train } = readRunConfig(folder) as { train?: { steps?: number } };
  return train?.steps ?? config.train.steps;
}

/** Trains, or goes on with what is there; false if it was stopped before the end. */
async function trainModel(config: PretrainConfig, folder: string, io: CommandIo): Promise<boolean> {
  const isResumed = await canResume(config, folder, io);
  logLine(
    io,
    'Training a small Llama on the plays of Shakespeare; this happens once. Ctrl-C pauses, the next start goes on.',
  );
  const { step, seconds, evaluation } = await runPretraining(config, folder, isResumed, io);
  if (step < config.train.steps) {
    logLine(io, `paused after step ${step} of ${config.train.steps}; start again to go on`);
    return false;
  }
  const quality = evaluation?.bits_per_byte?.toFixed(3);
  logLine(
    io,
    `Trained in ${renderDuration(seconds)}: ${quality} bits per byte on text it has never seen. It is kept in ${folder}\n`,
  );
  return true;
}

/** Whether the folder holds an unfinished run of this very configuration; one of another is moved out of the way. */
async function canResume(config: PretrainConfig, folder: string, io: CommandIo): Promise<boolean> {
  if (!existsSync(join(folder, 'config.json'))) return false;
  const [{ configDifferences }, { readRunConfig }] = await Promise.all([
    import('../train/overrides.ts'),
    import('../train/run-folder.ts'),
  ]);
  if (configDifferences(readRunConfig(folder), config).length === 0) return true;
  let number = 1;
  while (existsSync(`${folder}.${number}`)) number++;
  renameSync(folder, `${folder}.${number}`);
  logLine(io, `an unfinished run with other settings was moved to ${folder}.${number}`);
  return false;
}
