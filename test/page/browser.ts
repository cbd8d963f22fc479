/**
 * A real browser for tests of the page, watched: what it complains of and whom it asks is kept for the test to look at.
 */
import { existsSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { type Browser, chromium, type Page } from 'playwright-core';

const PATHS = [process.env['CHROMIUM'], '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

const executablePath = PATHS.find((path) => path !== undefined && existsSync(path));

/** Why the tests of the page cannot run here; false if they can. */
export const skipReason: string | false =
  executablePath === undefined && 'there is no Chromium here; install it or set CHROMIUM';

export async function openBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: executablePath!,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
  });
}

export interface WatchedPage {
  readonly page: Page;
  /** Errors and warnings of the console, uncaught exceptions, violated policies. */
  readonly complaints: string[];
  /** Requests to any other machine. */
  readonly strangers: string[];
}

/** A page of its own, with nothing stored, at the address. */
export async function openPage(
  browser: Browser,
  url: string,
  options: { width?: number; height?: number; colorScheme?: 'light' | 'dark'; neverDraws?: boolean } = {},
): Promise<WatchedPage> {
  const { width = 1280, height = 800, colorScheme = 'light', neverDraws = false } = options;
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme,
    reducedMotion: 'reduce',
    acceptDownloads: true,
  });
  if (neverDraws) await context.addInitScript('window.requestAnimationFrame = () => 0');
  const page = await context.newPage();
  const complaints: string[] = [];
  const strangers: string[] = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => {
    const { origin, protocol } = new URL(request.url());
    if (protocol !== 'data:' && protocol !== 'blob:' && origin !== new URL(url).origin) strangers.push(request.url());
  });
  await page.goto(url);
  return { page, complaints, strangers };
}

const LONGEST_WAIT_MS = 60_000;

/**
 * Waits until an expression is true in the page.
 *
 * It is asked from here over and over: Playwright's waitForFunction evaluates inside the page when the first look
 * fails, and the page's content security policy forbids that.
 */
export async function untilTrue(page: Page, expression: string): Promise<void> {
  const start = performance.now();
  while (!(await page.evaluate(expression))) {
    if (performance.now() - start > LONGEST_WAIT_MS) throw new Error(`was not true within a minute: ${expression}`);
    await setTimeout(20);
  }
}
