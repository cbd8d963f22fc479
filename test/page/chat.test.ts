import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import type { Browser, Locator, Page } from 'playwright-core';
import { openBrowser, openPage, skipReason, untilTrue, type WatchedPage } from './browser.ts';
import { type ChatBody, ENDLESS, REAL, type ScriptedServer, startScriptedServer } from './scripted-server.ts';

const ATTACK = [
  '<img src=x onerror="window.attacked=1"><script>window.attacked=2</script>',
  '',
  '[a](javascript:window.attacked=3) ![i](https://elsewhere.example/p.png) <style>body{display:none}</style>',
  '',
  '<iframe src="https://elsewhere.example"></iframe><form action="https://elsewhere.example"><input></form>',
  '',
  '[good](https://example.org/ "t") <https://elsewhere.example/auto>',
  '',
  '```html\n<b onclick="window.attacked=4">code</b>\n```',
  '',
  '<svg><a xlink:href="javascript:window.attacked=5"><text>x</text></a></svg>',
].join('\n');

function script(prompt: string, { messages = [] }: ChatBody) {
  if (prompt.includes('forever')) return ENDLESS;
  if (prompt.includes('attack')) return ATTACK;
  if (prompt.includes('refuse')) return { error: 'the prompt of 999 tokens leaves no room' };
  if (prompt.includes('really')) return REAL;
  return `You said **${prompt}** as message ${messages.length}.`;
}

async function say(page: Page, text: string): Promise<void> {
  await page.getByLabel('Message', { exact: true }).fill(text);
  await page.keyboard.press('Enter');
}

function replies(page: Page): Locator {
  return page.locator('.message-assistant .prose');
}

function answered(page: Page, count: number): Promise<void> {
  const again = page.getByRole('button', { name: 'Answer again' });
  return again.nth(count - 1).waitFor();
}

/** In the page: the titles of the conversations that are listed, as JSON. */
const TITLES = `JSON.stringify([...document.querySelectorAll('.entry-title')].map((e) => e.innerText))`;

/** In the page: whether every conversation is kept with a reply that is complete. */
const KEPT = `new Promise((resolve) => {
  indexedDB.open('cria').onsuccess = ({ target: { result: database } }) => {
    database.transaction('conversations').objectStore('conversations').getAll().onsuccess = ({ target: { result } }) => {
      database.close();
      resolve(result.length === 2 && !JSON.stringify(result).includes('"running"'));
    };
  };
})`;
describe('the chat in a browser', { skip: skipReason, timeout: 300_000 }, () => {
  let server: ScriptedServer;
  let browser: Browser;
  const watched: WatchedPage[] = [];
  before(async () => {
    server = await startScriptedServer(script);
    browser = await openBrowser();
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  const open = async (options?: Parameters<typeof openPage>[2]) => {
    const opened = await openPage(browser, server.url, options);
    watched.push(opened);
    await opened.page.getByRole('heading', { level: 1 }).waitFor();
    return opened.page;
  };

  it('streams a reply as markdown and says how fast it was', async () => {
    const page = await open();
    await say(page, 'hello');
    await answered(page, 1);
    assert.equal(await replies(page).innerText(), 'You said hello as message 1.');
    assert.equal(await replies(page).locator('strong').innerText(), 'hello');
    assert.match(
      await page.locator('.facts').innerText(),
      /^toy-chat · \d+ tokens · [\d.]+ tokens\/s · first after \d+ ms$/,
    );
    assert.match(await page.getByRole('status').last().innerText(), /^Reply: You said/);
  });

  it('stops a reply at Esc, keeps what is there, and tells the server at once', async () => {
    const page = await open();
    const earlier = server.left.count;
    await say(page, 'go on forever');
    await page.getByText('2 3 4').waitFor();
    await page.keyboard.press('Escape');
    await answered(page, 1);
    assert.match(await replies(page).innerText(), /^0 1 2 3/);
    assert.match(await page.locator('.facts').innerText(), /stopped/);
    while (server.left.count === earlier) await new Promise(setImmediate);
  });

  it('answers again and edits as branches, and keeps every branch', async () => {
    const page = await open();
    await say(page, 'one');
    await answered(page, 1);
    await say(page, 'two');
    await answered(page, 2);
    await page.getByRole('button', { name: 'Answer again' }).last().click();
    await page.getByText('2/2').waitFor();
    const [first, second] = server.asked.slice(-2);
    assert.deepEqual(first!.messages, second!.messages);
    assert.notEqual(first!.seed, second!.seed);
    assert.match(first!.conversation!, /^[\w-]{36}$/);
    assert.equal(first!.conversation, second!.conversation);
    await page.getByRole('button', { name: 'Edit' }).first().click();
    await page.getByLabel('Edit the message').fill('three');
    await page.keyboard.press('Enter');
    await page.getByText('You said three as message 1.').waitFor();
    assert.equal(await page.getByText('two', { exact: true }).count(), 0);
    await page.getByRole('button', { name: 'Earlier branch' }).first().click();
    await page.getByText('two', { exact: true }).first().waitFor();
    assert.deepEqual(await replies(page).allInnerTexts(), ['You said one as message 1.', 'You said two as message 3.']);
  });

  it('keeps conversations over a reload; finds, renames, deletes them', async () => {
    const page = await open();
    await say(page, 'apples');
    await answered(page, 1);
    await page.keyboard.press('Alt+n');
    await say(page, 'pears');
    await page.getByText('You said pears as message 1.').waitFor();
    await answered(page, 1);
    await untilTrue(page, KEPT);
    await page.reload();
    await answered(page, 1);
    assert.equal(await replies(page).innerText(), 'You said pears as message 1.');
    const titled = (...titles: string[]) => untilTrue(page, `${TITLES} === ${JSON.stringify(JSON.stringify(titles))}`);
    await titled('pears', 'apples');
    await page.keyboard.press('Alt+k');
    await page.keyboard.type('appl');
    await titled('apples');
    await page.locator('.entry').hover();
    await page.getByRole('button', { name: 'Rename apples' }).click();
    await page.getByLabel('Title').fill('appliances');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'appliances', exact: true }).waitFor();
    await page.locator('.entry').hover();
    await page.getByRole('button', { name: 'Delete appliances' }).click();
    await page.getByRole('button', { name: 'Delete', exact: true }).click();
    await titled();
    await page.getByLabel('Search conversations').fill('');
    await titled('pears');
  });

  it('exports conversations and takes them in again, and refuses other files', async () => {
    const page = await open();
    await say(page, 'remember me');
    await answered(page, 1);
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Export' }).click(),
    ]);
    const text = await readFile(await download.path(), 'utf8');
    const other = await open();
    const choose = (name: string, content: string) =>
      other
        .getByLabel('File of conversations')
        .setInputFiles({ name, mimeType: 'application/json', buffer: Buffer.from(content) });
    await choose('bad.json', '{"format":"other"}');
    await other.getByText('holds no conversations').waitFor();
    await choose('good.json', text);
    await other.getByText('One conversation was imported.').waitFor();
    await other.getByRole('button', { name: 'remember me', exact: true }).click();
    await answered(other, 1);
    assert.equal(await replies(other).innerText(), 'You said remember me as message 1.');
  });

  it('sends the system prompt and the sampling that are set', async () => {
    const page = await open();
    await page.keyboard.press('Alt+s');
    await page.getByLabel('System prompt').fill('Be brief.');
    await page.locator('#set-temperature').fill('0.25');
    await page.getByLabel('Most tokens of a reply').fill('77');
    await page.getByLabel('Seed').fill('5');
    await say(page, 'hi');
    await answered(page, 1);
    const { messages, temperature, max_tokens, seed } = server.asked.at(-1)!;
    assert.deepEqual(messages, [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'hi' },
    ]);
    assert.deepEqual({ temperature, max_tokens, seed }, { temperature: 0.25, max_tokens: 77, seed: 5 });
  });

  it('asks for no more tokens than fit in the context', async () => {
    const page = await open();
    await say(page, 'hi');
    await answered(page, 1);
    const room = server.asked.at(-1)!.max_tokens!;
    assert.ok(room > 100 && room < 256, `${room} of a context of 256`);
    await page.keyboard.press('Alt+s');
    await page.getByLabel('Most tokens of a reply').fill('5000');
    await say(page, 'hi again');
    await answered(page, 2);
    const left = server.asked.at(-1)!.max_tokens!;
    assert.ok(left > 0 && left < room, `${left} after ${room}`);
  });

  it('lets nothing that the model says become markup, load or run', async () => {
    const page = await open();
    await say(page, 'attack');
    await answered(page, 1);
    assert.equal(await page.evaluate('window.attacked'), undefined);
    const inside = (selector: string) => replies(page).locator(selector).count();
    for (const selector of ['img', 'script', 'iframe', 'form', 'input', 'svg', 'style', '[onclick]', '[onerror]']) {
      assert.equal(await inside(selector), 0, `${selector} got into the page`);
    }
    const shown = await replies(page).innerText();
    for (const text of ['<img src=x onerror=', '<script>', '<iframe', '<b onclick=', '![i]('])
      assert.ok(shown.includes(text), text);
    const links = replies(page).locator('a');
    const hrefs = await Promise.all((await links.all()).map((link) => link.getAttribute('href')));
    assert.deepEqual(hrefs, [null, 'https://example.org/', 'https://elsewhere.example/auto']);
    assert.match((await links.nth(1).getAttribute('rel'))!, /noopener/);
  });

  it('says what the server refuses, and goes on', async () => {
    const page = await open();
    await say(page, 'refuse this');
    await page.getByText('the prompt of 999 tokens leaves no room').first().waitFor();
    watched.at(-1)!.complaints.length = 0; // Chromium reports the 400
    await say(page, 'hello');
    await page.getByText('You said hello as message 3.').waitFor();
  });

  it('lets a model that was not trained to chat continue the text', async () => {
    const page = await open();
    await page.getByLabel('Model').selectOption('toy-text');
    await page.getByRole('heading', { name: 'Begin a text' }).waitFor();
    await say(page, 'To be');
    await answered(page, 1);
    await say(page, 'Or not');
    await answered(page, 2);
    const { prompt, max_tokens } = server.asked.at(-1)!;
    assert.match(server.tokenizer.decode(prompt!, { skipSpecial: true }), /^To beYou said .*\nOr not$/);
    assert.equal(max_tokens, 128); // half of the context of 256
    await page.getByRole('button', { name: 'Go on' }).click();
    await answered(page, 3);
    assert.match(server.tokenizer.decode(server.asked.at(-1)!.prompt!), /Or notYou said .*\.$/);
    assert.equal(await page.locator('.message-user').count(), 2);
  });

  it('streams from the real engine', async () => {
    const page = await open();
    await page.keyboard.press('Alt+s');
    await page.getByLabel('Most tokens of a reply').fill('20');
    await say(page, 'really');
    await answered(page, 1);
    assert.match(await page.locator('.facts').innerText(), /toy-chat · (1?\d|20) tokens/);
  });

  it('can be used by the keyboard alone', async () => {
    const page = await open();
    const focus = () =>
      page.evaluate('document.activeElement.getAttribute("aria-label") ?? document.activeElement.innerText');
    await page.keyboard.press('Tab');
    assert.equal(await focus(), 'Skip to content');
    await page.keyboard.press('Tab');
    assert.equal(await focus(), 'Chat');
    await page.keyboard.press('ArrowRight');
    await page.getByRole('heading', { name: 'Tokenizer' }).waitFor();
    await untilTrue(page, 'document.activeElement.innerText === "Tokenizer"');
    await page.keyboard.press('ArrowLeft');
    await page.getByRole('heading', { name: 'What is on your mind?' }).waitFor(); // from here on keys are listened to
    await page.keyboard.press('/');
    await untilTrue(page, 'document.activeElement.id === "message"');
    await page.keyboard.type('typed');
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.type('lines');
    await page.keyboard.press('Enter');
    await answered(page, 1);
    assert.equal(server.asked.at(-1)!.messages!.at(-1)!.content, 'typed\nlines');
    await page.keyboard.press('Shift+Tab');
    assert.equal(await focus(), 'Answer again');
    await page.keyboard.press('Enter');
    await page.getByText('2/2').waitFor();
    await answered(page, 1);
    await untilTrue(page, 'document.activeElement.id === "message"'); // the button that was pressed is gone
    for (let tabs = 0; tabs < 3; tabs++) await page.keyboard.press('Shift+Tab');
    assert.equal(await focus(), 'Earlier branch');
    await page.keyboard.press('Enter');
    await page.getByText('1/2').waitFor();
    await untilTrue(page, 'document.activeElement.getAttribute("aria-label") === "Later branch"');
    await page.evaluate('document.activeElement.blur()');
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  });

  it('loses no letter that is typed before a busy machine draws', async () => {
    const page = await open({ neverDraws: true });
    await page.keyboard.press('/');
    await page.keyboard.type('first');
    await page.keyboard.press('Enter');
    await answered(page, 1);
    await page.keyboard.press('Alt+n');
    await page.keyboard.type('second');
    await page.keyboard.press('Enter');
    await page.getByText('You said second as message 1.').waitFor();
    await answered(page, 1);
    await page.keyboard.press('Alt+k');
    await page.keyboard.type('first');
    assert.equal(await page.getByLabel('Search conversations').inputValue(), 'first');
    assert.deepEqual(await page.locator('.entry-title').allInnerTexts(), ['first']);
    await page.locator('.entry').hover();
    await page.getByRole('button', { name: 'Rename first' }).click();
    await page.keyboard.type('renamed');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Edit' }).click();
    await page.keyboard.type(' again');
    await page.keyboard.press('Enter');
    await page.getByText('You said second again as message 1.').waitFor();
  });

  it('opens at an address that is no encoded text', async () => {
    const opened = await openPage(browser, `${server.url}#/chat/%E0%A4%A`);
    watched.push(opened);
    await opened.page.getByRole('heading', { name: 'What is on your mind?' }).waitFor();
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
