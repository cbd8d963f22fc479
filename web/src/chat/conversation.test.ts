import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  branches,
  type Conversation,
  type Message,
  newConversation,
  pathTo,
  shownMessages,
  withBranch,
  withMessage,
} from './conversation.ts';
import { exportText, parseExport } from './transfer.ts';

const NOW = 1_700_000_000_000;

function message(id: string, parentId: string | null): Message {
  return { id, parentId, role: id.startsWith('u') ? 'user' : 'assistant', text: `text of ${id}`, reply: null };
}

function conversationOf(...edges: readonly (readonly [id: string, parentId: string | null])[]): Conversation {
  const empty = newConversation('c', NOW);
  return edges.reduce((sum, [id, parentId]) => withMessage(sum, message(id, parentId), NOW), empty);
}

const idsOf = (messages: readonly Message[]) => messages.map(({ id }) => id);

/** Trees: message i follows one of those before it, or nothing. */
const trees = fc
  .array(fc.nat(), { minLength: 1, maxLength: 30 })
  .map((draws) =>
    conversationOf(...draws.map((draw, i) => [`u${i}`, draw % (i + 1) === i ? null : `u${draw % (i + 1)}`] as const)),
  );

describe('a conversation', () => {
  it('shows the branch written last, and another one when it is chosen', () => {
    const conversation = conversationOf(
      ['u1', null],
      ['a1', 'u1'],
      ['u2', 'a1'],
      ['a2', 'u2'],
      ['a2b', 'u2'],
      ['u1b', null],
      ['a3', 'u1b'],
    );
    assert.deepEqual(idsOf(shownMessages(conversation)), ['u1b', 'a3']);
    const back = withBranch(conversation, conversation.messages[0]!);
    assert.deepEqual(idsOf(shownMessages(back)), ['u1', 'a1', 'u2', 'a2b']);
    const first = withBranch(back, conversation.messages[3]!);
    assert.deepEqual(idsOf(shownMessages(first)), ['u1', 'a1', 'u2', 'a2']);
    assert.deepEqual(idsOf(branches(first, 'u2')), ['a2', 'a2b']);
  });

  it('takes its title from the first line a person writes, and keeps it', () => {
    const conversation = withMessage(
      newConversation('c', NOW),
      { ...message('u1', null), text: `  ${'long '.repeat(30)}\nsecond` },
      NOW,
    );
    assert.equal(conversation.title.length <= 60, true);
    assert.match(conversation.title, /^long long .*…$/);
    assert.equal(withMessage(conversation, message('u2', 'u1'), NOW).title, conversation.title);
  });

  it('shows a path from a first message to a last one, whatever was chosen', () => {
    fc.assert(
      fc.property(trees, fc.array(fc.nat(), { maxLength: 20 }), (tree, choices) => {
        const chosen = choices.reduce((sum, draw) => withBranch(sum, sum.messages[draw % sum.messages.length]!), tree);
        const shown = shownMessages(chosen);
        assert.equal(branches(chosen, shown.at(-1)!.id).length, 0);
        assert.deepEqual(pathTo(chosen, shown.at(-1)!.id), shown);
        assert.equal(shown[0]!.parentId, null);
      }),
    );
  });
});

describe('a file of conversations', () => {
  it('gives back what was exported', () => {
    fc.assert(fc.property(trees, (tree) => assert.deepEqual(parseExport(exportText([tree])), [tree])));
  });

  it('turns a reply that was still running into one that was stopped', () => {
    const running = { model: 'm', isContinuation: false, finish: 'running', error: null, seed: 1 };
    const reply = { ...running, promptTokens: null, tokens: null, tokensPerSecond: null, firstMs: null };
    const conversation = withMessage(conversationOf(['u1', null]), { ...message('a1', 'u1'), reply }, NOW);
    assert.equal(parseExport(exportText([conversation]))[0]!.messages[1]!.reply!.finish, 'stopped');
  });

  it('refuses what is not ours, and messages that would follow themselves', () => {
    assert.throws(() => parseExport('{'), /not JSON/);
    assert.throws(() => parseExport('[]'), /damaged/);
    assert.throws(() => parseExport('{"format":"x"}'), /no conversations exported/);
    assert.throws(() => parseExport('{"format":"cria.conversations","version":2}'), /version 2/);
    const looped = { ...conversationOf(['u1', null]), messages: [message('u1', 'u1')] };
    assert.throws(() => parseExport(exportText([looped])), /damaged/);
    const odd = { ...conversationOf(['u1', null]), messages: [{ ...message('u1', null), role: 'tool' as 'user' }] };
    assert.throws(() => parseExport(exportText([odd])), /damaged/);
  });
});
