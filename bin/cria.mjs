#!/usr/bin/env node
// Starts the command line from its TypeScript sources.
import { register } from 'tsx/esm/api';

register({ tsconfig: false }); // the user's own tsconfig.json is none of our business
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error) => {
    if (error.code === 'EPIPE') process.exit(0); // the reader, `head` say, has seen enough
    throw error;
  });
}
const { main } = await import('../src/cli/main.ts');
const { processIo } = await import('../src/cli/io.ts');
process.exitCode = await main(process.argv.slice(2), processIo());
