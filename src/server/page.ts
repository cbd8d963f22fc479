/**
 * The web page: the files of its build, read once, so that no path from outside ever names a file.
 */
import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { PAGE_HEADERS } from './page-headers.ts';
import { UNDOCUMENTED } from './response-schemas.ts';
import { get, type Route } from './route.ts';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.webmanifest': 'application/manifest+json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.wasm': 'application/wasm',
  '.txt': 'text/plain; charset=utf-8',
};

const NO_PAGE = 'cria is running; the page is not built (npm run build:web)';

/** One row a file under `folder`, and `/` for index.html; without a build `/` says so. */
export async function pageRoutes(folder: string): Promise<Route[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  const routes = await Promise.all(
    files.map(async (file) =>
      fileRoute(`/${file.slice(folder.length).replaceAll('\\', '/').replace(/^\/+/, '')}`, await readFile(file)),
    ),
  );
  const index = routes.find(({ path }) => path === '/index.html');
  return [
    ...routes,
    index
      ? { ...index, path: '/' }
      : get('/', 'Says that the server runs', UNDOCUMENTED, () => new Response(`${NO_PAGE}\n`), 'open'),
  ];
}

function fileRoute(path: string, bytes: Uint8Array<ArrayBuffer>): Route {
  const headers = {
    ...PAGE_HEADERS,
    'Content-Type': TYPES[extname(path)] ?? 'application/octet-stream',
    // Vite puts a hash of the content into the names under assets/.
    'Cache-Control': path.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
  };
  return get(path, 'A file of the page', UNDOCUMENTED, () => new Response(bytes, { headers }), 'open');
}
