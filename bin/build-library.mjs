// Emits dist/, the JavaScript and declarations that programs get as `cria`. Where the compiler is not installed (`npm ci --omit=dev`), says so
// and leaves it. The command line does not need it: it runs from the sources.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const config = fileURLToPath(new URL('../tsconfig.build.json', import.meta.url));

function findCompiler() {
  try {
    return join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc');
  } catch {
    return null;
  }
}

const compiler = findCompiler();
if (compiler === null)
  process.stderr.write('dist/ is not built: typescript is not installed. The command line works without it.\n');
else process.exitCode = spawnSync(process.execPath, [compiler, '-p', config], { stdio: 'inherit' }).status ?? 1;
