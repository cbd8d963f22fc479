/**
 * Builds the page into web/dist; where the tools for it are not installed (`npm ci --omit=dev`), says so and leaves it.
 */
import { join } from 'node:path';

const vite = await import('vite').catch(() => null);
if (vite === null) process.stderr.write('The page is not built: vite is not installed. The API works without it.\n');
else await vite.build({ configFile: join(import.meta.dirname, 'vite.config.ts') });
