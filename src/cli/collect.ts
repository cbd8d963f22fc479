/** The values of an option that may be given several times, for commander's `option`. */

/** The values before, and one more. */
export function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}
