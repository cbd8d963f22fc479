/**
 * How the page is built. In development (`npx vite web`) requests go on to a server on CRIA_PORT.
 */
import { defineConfig } from 'vite';

const server = `http://127.0.0.1:${process.env['CRIA_PORT'] ?? 8080}`;

export default defineConfig({
  root: import.meta.dirname,
  base: './',
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0, // data: scripts and styles are not allowed by the page's policy
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: { proxy: Object.fromEntries(['/v1', '/api', '/inside', '/health'].map((path) => [path, server])) },
  logLevel: 'warn',
});
