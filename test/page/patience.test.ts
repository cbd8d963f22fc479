import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { describe, it } from 'node:test';
import { openBrowser, openPage, skipReason } from './browser.ts';
import { startScriptedServer } from './scripted-server.ts';

const KEY = 'a-key-of-the-test';

describe('the page and a server that does not answer at once', { skip: skipReason, timeout: 300_000 }, () => {
  it('asks for the API key, says that a wrong one was refused, and waits while the model loads', async () => {
    const disk = new EventEmitter();
    const whileLoading = once(disk, 'read').then(() => {});
    const server = await startScriptedServer(() => 'Here I am.', { keys: [KEY], whileLoading });
    const browser = await openBrowser();
    try {
      const { page } = await openPage(browser, server.url);
      const dialog = page.getByRole('dialog', { name: 'This server wants an API key' });
      const use = async (key: string) => {
        await dialog.getByLabel('API key').fill(key);
        await page.keyboard.press('Enter');
      };
      await use('a-wrong-key');
      await dialog.getByText('The key that was given is refused.').waitFor();
      await use(KEY);
      await page.getByText('Loading…').waitFor();
      disk.emit('read');
      await page.getByRole('heading', { name: 'What is on your mind?' }).waitFor();
      await page.getByLabel('Message', { exact: true }).fill('Are you there?');
      await page.keyboard.press('Enter');
      await page.getByText('Here I am.', { exact: true }).waitFor();
      assert.equal(await dialog.count(), 0);
    } finally {
      await browser.close();
      await server.close();
    }
  });
});
