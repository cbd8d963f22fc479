/** Options that may be given several times. */
import { Option } from 'commander';

/** An option whose value is the list of all values given. */
export function repeatable(flags: string, description: string): Option {
  return new Option(flags, `${description}; may be repeated`).argParser(collect).default([], 'none');
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}
