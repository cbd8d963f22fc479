/** Work that is given up after a time, though it never yields: V8 ends even a regular expression when a script's time is over. */
import { createContext, Script, type Context } from 'node:vm';

type Sandbox = Context & { work: (() => void) | null };

let sandbox: Sandbox | undefined;
const script = new Script('work()');

/** Result of `work`; null if it was not done after `milliseconds`. Not to be called by the work itself. */
export function runBounded<T>(work: () => T, milliseconds: number): { result: T } | null {
  sandbox ??= createContext({ work: null }) as Sandbox;
  let done: { result: T } | null = null;
  sandbox.work = () => {
    done = { result: work() };
  };
  try {
    script.runInContext(sandbox, { timeout: Math.ceil(milliseconds) });
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
    return null;
  } finally {
    sandbox.work = null;
  }
  return done;
}
