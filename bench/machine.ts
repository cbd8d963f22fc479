/**
 * The machine a figure belongs to, in the words of its operating system.
 */
import { readFileSync } from 'node:fs';
import os from 'node:os';

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly system: string;
  readonly node: string;
}

/** What this runs on. Virtual machines often hide the product name, so family and model are told too. */
export function machine(): Machine {
  const cpus = os.cpus();
  return {
    processor: `${cpus[0]?.model.trim() ?? 'unknown processor'}${familyAndModel()}`,
    cores: cpus.length,
    memoryGib: Math.round(os.totalmem() / 2 ** 30),
    system: `${os.type()} ${os.release()} ${os.arch()}`,
    node: process.version,
  };
}

function familyAndModel(): string {
  if (process.platform !== 'linux') return '';
  const info = readFileSync('/proc/cpuinfo', 'utf8');
  const field = (name: string) => new RegExp(`^${name}\\s*:\\s*(\\d+)$`, 'm').exec(info)?.[1];
  const [family, model] = [field('cpu family'), field('model')];
  return family && model ? ` (family ${family}, model ${model})` : '';
}

/** One line that names the machine. */
export function renderMachine({ processor, cores, memoryGib, system, node }: Machine): string {
  return `${processor}, ${cores} cores, ${memoryGib} GiB, ${system}, Node ${node}`;
}
