/**
 * Worker threads whose code is TypeScript, run as the rest of the project is: through tsx, without a build; in the built library, the JavaScript.
 * Node does not hand loaders registered at run time on to workers, so the worker registers its own first.
 */
import { Worker, type WorkerOptions } from 'node:worker_threads';

/** Starts `module` (a URL made from import.meta.url) in a thread of its own; messages sent at once are not lost. */
export function startTypescriptWorker(module: URL, options: Omit<WorkerOptions, 'eval'> = {}): Worker {
  if (import.meta.url.endsWith('.js')) {
    // Flags of the program are for its own script: with --input-type no thread would start.
    return new Worker(new URL(module.href.replace(/\.ts$/, '.js')), { execArgv: [], ...options });
  }
  const loader = import.meta.resolve('tsx/esm/api');
  const bootstrap = `
    import(${JSON.stringify(loader)})
      .then(({ register }) => register({ tsconfig: false }))
      .then(() => import(${JSON.stringify(module.href)}))
      .catch((error) => setImmediate(() => { throw error; }));`;
  return new Worker(bootstrap, { ...options, eval: true });
}
