/**
 * A child process that does one piece of work for every line it is sent and answers with one line of JSON. So contenders with a long
 * start (a compiler that warms up, a model that loads) can be measured alternately, each with memory of its own.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { ConfigError } from '../src/util/errors.ts';

const KEPT_STDERR_CHARS = 2000;

export class LineProcess {
  readonly #name: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #lines: AsyncIterator<string>;
  #stderr = '';

  /** Starts `command`; `name` appears in errors. */
  constructor(name: string, command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.#name = name;
    this.#child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.#child.stderr.setEncoding('utf8');
    this.#child.stderr.on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-KEPT_STDERR_CHARS);
    });
    this.#child.on('error', (error) => {
      this.#stderr += error.message;
    });
    this.#child.stdin.on('error', () => {}); // the process has ended; `ask` reports it
  }

  /** Sends one line and gives the JSON object that answers it. */
  async ask<T>(request: string = ''): Promise<T> {
    this.#child.stdin.write(`${request}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new ConfigError(`${this.#name} ended without an answer: ${this.#stderr.trim() || 'no message'}`);
    return JSON.parse(value) as T;
  }

  /** Makes `peakMib` count from now on (Linux; elsewhere it counts from the start of the process). */
  forgetPeak(): void {
    if (process.platform === 'linux') writeFileSync(`/proc/${this.#child.pid}/clear_refs`, '5');
  }

  /** Largest resident memory, MiB; NaN where the system does not tell. */
  peakMib(): number {
    if (process.platform !== 'linux') return NaN;
    const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8');
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
  }

  /** Takes the processor from it until `resume`. */
  suspend(): void {
    this.#child.kill('SIGSTOP');
  }

  resume(): void {
    this.#child.kill('SIGCONT');
  }

  /** Ends the process and waits for it. */
  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#child.stdin.end();
    await exit;
  }
}
