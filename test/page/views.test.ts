import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { openBrowser, openPage, skipReason, untilTrue, type WatchedPage } from './browser.ts';
import { type ScriptedServer, startScriptedServer } from './scripted-server.ts';

const TABS = ['Chat', 'Tokenizer', 'Inside', 'Models'];
const TEXT = 'Wherefore art thou, naïve 🦙?\n\tIt costs 1597 ducats.';

describe('tokenizer, inside and models in a browser', { skip: skipReason, timeout: 300_000 }, () => {
  let server: ScriptedServer;
  let browser: Browser;
  const watched: WatchedPage[] = [];
  before(async () => {
    server = await startScriptedServer(() => 'ok');
    browser = await openBrowser();
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  const open = async (tab: string, options?: Parameters<typeof openPage>[2]) => {
    const opened = await openPage(browser, `${server.url}#/${tab.toLowerCase()}`, options);
    watched.push(opened);
    await opened.page.getByRole('heading', { level: 1 }).waitFor();
    return opened.page;
  };
  const ask = async (path: string, body: object) => {
    const response = await fetch(new URL(path, server.url), { method: 'POST', body: JSON.stringify(body) });
    return (await response.json()) as never;
  };

  it('shows the tokens that the API gives, each with its text', async () => {
    const page = await open('Tokenizer');
    await page.getByLabel('Text', { exact: true }).fill(TEXT);
    const { tokens } = (await ask('/tokenize', { model: 'toy-chat', content: TEXT })) as { tokens: number[] };
    assert.equal(await listedIds(page, tokens), tokens.join(', '));
    const marks = page.getByRole('group', { name: 'Tokens of toy-chat' }).getByRole('button');
    assert.equal(await marks.count(), tokens.length);
    await page.getByLabel('Show white space').check();
    await page
      .getByRole('button', { name: /^→, id|^↵→, id/ })
      .first()
      .hover();
    await page
      .locator('.token-facts')
      .first()
      .filter({ hasText: /id \d+/ })
      .waitFor();
  });

  it('shows the bytes of a character that is split, and what special tokens become', async () => {
    const page = await open('Tokenizer');
    await page.getByLabel('Text', { exact: true }).fill('🜚<|eot_id|>');
    const { tokens } = (await ask('/tokenize', { model: 'toy-chat', content: '🜚<|eot_id|>' })) as { tokens: number[] };
    await page.getByLabel('Names of special tokens become tokens').check();
    await listedIds(page, tokens);
    const parts = await page.locator('.token[data-part=true]').allInnerTexts();
    assert.equal(parts.join(' '), 'F0 9F 9C 9A');
    assert.deepEqual(await page.locator('.token[data-special=true]').allInnerTexts(), ['<|eot_id|>']);
  });

  it('shows a conversation as the model is given it', async () => {
    const page = await open('Tokenizer');
    await page.getByRole('button', { name: 'Conversation' }).click();
    await page.getByLabel('Message 2', { exact: true }).fill('Hello there');
    const messages = [
      { role: 'system', content: 'Answer briefly.' },
      { role: 'user', content: 'Hello there' },
    ];
    const { tokens } = (await ask('/tokenize', { model: 'toy-chat', messages })) as { tokens: number[] };
    assert.equal(await listedIds(page, tokens), tokens.join(', '));
  });

  it('shows merges from bytes to tokens, of the word that is pressed', async () => {
    const page = await open('Tokenizer');
    await page.getByRole('button', { name: /^·light, id/ }).click();
    const word = page.getByLabel('Word', { exact: true });
    assert.equal(await word.inputValue(), ' light');
    const steps = page.getByRole('region', { name: 'Merge steps' }).getByRole('listitem');
    await steps.filter({ hasText: '·light' }).first().waitFor();
    assert.equal((await steps.first().innerText()).replace(/\s+/g, ''), 'bytes·light');
    assert.match((await steps.last().innerText()).replace(/\s+/g, ' '), /·light/);
  });

  it('compares two vocabularies', async () => {
    const page = await open('Tokenizer');
    await page.getByLabel('Compare with').selectOption('toy-text');
    await page.getByRole('group', { name: 'Tokens of toy-text' }).waitFor();
    assert.match(await page.getByText('against the first').locator('..').innerText(), /\+0 %/);
  });

  it('shows the likeliest next tokens and writes the one that is pressed', async () => {
    const page = await open('Inside');
    await page.getByLabel('Prompt').fill('the llama');
    const next = (await ask('/inside/next', { model: 'toy-chat', text: 'the llama', count: 14 })) as {
      candidates: { bytes: number[]; probability: number }[];
    };
    const bars = page.getByRole('region', { name: 'Next token' }).getByRole('listitem');
    const { probability } = next.candidates[0]!;
    const share = `${(100 * probability).toFixed(probability < 0.1 ? 2 : 1)} %`;
    await bars.first().filter({ hasText: share }).waitFor();
    assert.equal(await bars.count(), 14);
    const writable = bars.getByRole('button', { disabled: false }).first();
    await writable.click();
    await untilTrue(page, 'document.querySelector("textarea").value.length > "the llama".length');
  });

  it('shows where a head looks, also in words', async () => {
    const page = await open('Inside');
    await page.getByLabel('Prompt').fill('the llama');
    await page.getByRole('slider', { name: /^Layer/ }).fill('1');
    await page.getByRole('slider', { name: /^Head/ }).fill('4');
    const asked = { model: 'toy-chat', text: 'the llama', layer: 1, head: 4 };
    const { rows } = (await ask('/inside/attention', asked)) as { rows: number[][] };
    const strongest = Math.max(...rows.at(-1)!);
    await page
      .locator('.attended')
      .filter({ hasText: `${(100 * strongest).toFixed(0)} %` })
      .waitFor();
    await page.getByRole('img', { name: /^Attention of/ }).press('Home');
    await page
      .locator('.attended')
      .filter({ hasText: /token 0\) looks at .* 100 %$/ })
      .waitFor();
  });

  it('tells what the KV cache takes with grouped queries and without', async () => {
    const page = await open('Inside');
    const card = page.getByRole('region', { name: 'KV cache' });
    await card.getByLabel('Model').selectOption('llama3.1-70b');
    // 2 (K and V) * 2 bytes * 128 * 8 heads * 80 layers * 131,072 tokens = 40 GiB
    await card.getByText('40 GiB').waitFor();
    await card.getByText('320 GiB, 8 times as much').waitFor();
  });

  it('lists, inspects and gets models, with what goes wrong', async () => {
    const page = await open('Models');
    await page.getByRole('heading', { name: 'toy-text' }).waitFor();
    await page.getByRole('button', { name: 'Inspect' }).first().click();
    await page.locator('.model-facts').waitFor();
    await page.getByRole('textbox', { name: 'Get a model' }).fill('someone/small-llama');
    await page.getByRole('button', { name: 'Get', exact: true }).click();
    await page.getByText('someone/small-llama is there.').waitFor();
    await page.getByRole('textbox', { name: 'Get a model' }).fill('nothing');
    await page.getByRole('button', { name: 'Get', exact: true }).click();
    await page.getByRole('alert').filter({ hasText: 'no such model' }).waitFor();
    watched.at(-1)!.complaints.length = 0; // Chromium may report the refusal
  });

  it('fits a page of 360 px without scrolling sideways, in every tab', async () => {
    const page = await open('Chat', { width: 360, height: 700 });
    for (const name of TABS) {
      await page.getByRole('tab', { name }).click();
      await page.getByRole('tabpanel', { name }).waitFor();
      await page.waitForLoadState('networkidle');
      const wide = await page.evaluate(`
        [document.documentElement, ...document.querySelectorAll('main, [role=tabpanel], .card, section')]
          .filter((e) => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== 'visible' || e.getBoundingClientRect().right > innerWidth + 1)
          .map((e) => e.className || e.tagName)`);
      assert.deepEqual(wide, [], name);
    }
  });

  it('names every control and every picture, and keeps ids and landmarks single', async () => {
    const page = await open('Chat');
    await page.keyboard.press('Alt+s');
    for (const name of TABS) {
      await page.getByRole('tab', { name }).click();
      await page.getByRole('tabpanel', { name }).waitFor();
      await page.waitForLoadState('networkidle');
      assert.deepEqual(await page.evaluate(NAMELESS), [], name);
      const ids = (await page.evaluate('[...document.querySelectorAll("[id]")].map((e) => e.id)')) as string[];
      assert.deepEqual(ids, [...new Set(ids)], name);
      assert.equal(await page.evaluate('document.querySelectorAll("main").length'), 1);
      assert.equal(await page.getByRole('tab', { selected: true }).count(), 1);
    }
  });

  it('has enough contrast between text and ground, in light and dark', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      const page = await open('Models', { colorScheme });
      const pairs = (await page.evaluate(CONTRASTS)) as [string, number][];
      for (const [pair, ratio] of pairs) assert.ok(ratio >= 4.5, `${colorScheme} ${pair}: ${ratio.toFixed(2)}`);
      assert.equal(pairs.length, 12);
    }
  });

  it('switches between light and dark and remembers it', async () => {
    const page = await open('Models');
    const shown = () => page.evaluate('document.documentElement.dataset.scheme');
    assert.equal(await shown(), 'light');
    await page.getByRole('button', { name: 'Switch to dark' }).click();
    assert.equal(await shown(), 'dark');
    await page.reload();
    assert.equal(await shown(), 'dark');
  });

  it('made no complaint and asked no other machine', () => {
    assert.deepEqual(
      watched.flatMap(({ complaints }) => complaints),
      [],
    );
    assert.deepEqual(
      watched.flatMap(({ strangers }) => strangers),
      [],
    );
  });
});

/** The ids that the tab lists, once they are those of as many tokens as expected. */
async function listedIds(page: Page, expected: readonly number[]): Promise<string> {
  await page.locator('.ids summary').click();
  const list = page.getByTestId('ids');
  await list.filter({ hasText: expected.join(', ') }).waitFor();
  return list.innerText();
}

/** Controls and pictures without a name, as HTML. */
const NAMELESS = `
  [...document.querySelectorAll('button, input, select, textarea, a, canvas, [role=img], progress, meter, dialog')]
    .filter((e) => e.getClientRects().length > 0)
    .filter((e) => !e.closest('[role=img][aria-label]') && !e.getAttribute('aria-label') && !e.labels?.length && e.textContent.trim() === '')
    .map((e) => e.outerHTML.slice(0, 120))`;

/** WCAG contrast of each colour of text on each ground it is used on. */
const CONTRASTS = `
  (() => {
    const pen = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d', { willReadFrequently: true });
    const style = getComputedStyle(document.documentElement);
    const luminance = (name) => {
      pen.fillStyle = style.getPropertyValue(name);
      pen.fillRect(0, 0, 1, 1);
      const [r, g, b] = [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3)
        .map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const pairs = [
      ...['--ink', '--ink-2', '--ink-3', '--accent'].flatMap((ink) => ['--paper', '--surface'].map((ground) => [ink, ground])),
      ['--ink-3', '--sunken'], ['--on-accent', '--accent'], ['--danger', '--danger-soft'], ['--ink', '--accent-soft'],
    ];
    return pairs.map(([ink, ground]) => {
      const [a, b] = [luminance(ink), luminance(ground)].sort((x, y) => y - x);
      return [ink + ' on ' + ground, (a + 0.05) / (b + 0.05)];
    });
  })()`;
