/**
 * The folder of a training run: `config.json`, the tokenizer, the prepared data, `metrics.jsonl` (the same bytes for every run of this
 * configuration), `timing.jsonl` and `samples.jsonl`, and the checkpoints.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '../util/atomic-file.ts';
import { ConfigError, UsageError } from '../util/errors.ts';
import { configDifferences } from './overrides.ts';
import { RecordLog } from './record-log.ts';

export interface RunFolder {
  readonly path: string;
  readonly checkpoints: string;
  readonly tokenizer: string;
  readonly data: string;
}

type Config = Readonly<Record<string, unknown>>;

/** Starts a run in a folder that holds none, or enters the one that is there if `isResumed`. */
export async function openRun(path: string, config: Config, isResumed: boolean): Promise<RunFolder> {
  const configPath = join(path, 'config.json');
  if (isResumed) {
    const saved = readRunConfig(path);
    const differences = configDifferences(saved, config);
    if (differences.length > 0) {
      throw new ConfigError(
        `${path}: a resumed run keeps its configuration, this call changes ${differences.join(', ')}; ` +
          'leave that out, or start a new run in another folder',
      );
    }
  } else if (existsSync(configPath)) {
    throw new UsageError(`${path}: already holds a run; continue it with --resume or choose another --out`);
  }
  const run = {
    path,
    checkpoints: join(path, 'checkpoints'),
    tokenizer: join(path, 'tokenizer'),
    data: join(path, 'data'),
  };
  mkdirSync(run.checkpoints, { recursive: true });
  if (!isResumed) {
    await writeFileAtomic(configPath, (file) => file.write(Buffer.from(`${JSON.stringify(config, null, 2)}\n`)));
  }
  return run;
}

/** The configuration that the run in a folder was started with, not yet checked. */
export function readRunConfig(path: string): Config {
  const configPath = join(path, 'config.json');
  if (!existsSync(configPath)) throw new UsageError(`${path}: holds no run to resume; start one without --resume`);
  try {
    return JSON.parse(readFileSync(configPath, 'utf8')) as Config;
  } catch (cause) {
    throw new ConfigError(`${configPath}: is damaged; start the run again in another folder`, { cause });
  }
}

export interface RunLogs {
  readonly metrics: RecordLog;
  readonly timing: RecordLog;
  readonly samples: RecordLog;
}

/** The logs of a run that goes on after `lastStep`. */
export function openRunLogs({ path }: RunFolder, lastStep: number): RunLogs {
  return {
    metrics: new RecordLog(join(path, 'metrics.jsonl'), lastStep),
    timing: new RecordLog(join(path, 'timing.jsonl'), lastStep),
    samples: new RecordLog(join(path, 'samples.jsonl'), lastStep),
  };
}
