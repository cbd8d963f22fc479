import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ToolCallStream, type ReplyEvent } from './tool-call-stream.ts';

type Read = { text: string; calls: { name: string; args: string; isEnded: boolean }[] };

function read(pieces: readonly string[], toolNames: readonly string[] | null = null): Read {
  const stream = new ToolCallStream({ toolNames });
  const events: ReplyEvent[] = [...pieces.flatMap((piece) => stream.push(piece)), ...stream.end()];
  const result: Read = { text: '', calls: [] };
  for (const event of events) {
    if (event.kind === 'text') {
      result.text += event.text;
    } else if (event.kind === 'call-start') {
      assert.equal(event.index, result.calls.length);
      result.calls.push({ name: event.name, args: '', isEnded: false });
    } else {
      const call = result.calls[event.index]!;
      assert.ok(event.index === result.calls.length - 1 && !call.isEnded, 'events of a call come together');
      if (event.kind === 'arguments') call.args += event.fragment;
      else call.isEnded = true;
    }
  }
  return result;
}

const call = (name: string, args: string, isEnded = true) => ({ name, args, isEnded });

const REPLIES: readonly [string, Read][] = [
  ['Hello, <b>world</b>.\nBye.', { text: 'Hello, <b>world</b>.\nBye.', calls: [] }],
  ['', { text: '', calls: [] }],
  ['  \n', { text: '  \n', calls: [] }],
  [
    '{"name": "add", "parameters": {"a": [1, "}\\""], "b": {}}}',
    { text: '', calls: [call('add', '{"a": [1, "}\\""], "b": {}}')] },
  ],
  ['\n{"name":"now"}', { text: '', calls: [call('now', '{}')] }],
  [
    '{"type": "function", "name": "add", "parameters": {"a": 1}, "id": "x"}',
    { text: '', calls: [call('add', '{"a": 1}')] },
  ],
  ['{"parameters": {"a": 1}, "name": "add"}', { text: '', calls: [call('add', '{"a": 1}')] }],
  ['{"name": "add", "arguments": "{\\"a\\": 1}"}', { text: '', calls: [call('add', '{"a": 1}')] }],
  [
    '{"name": "a", "parameters": {}}; {"name": "b", "parameters": {"x": 1}}\n{"name": "c", "parameters": {}}',
    { text: '', calls: [call('a', '{}'), call('b', '{"x": 1}'), call('c', '{}')] },
  ],
  [
    '<function=add>{"a": 1}</function><function=b>{}</function>',
    { text: '', calls: [call('add', '{"a": 1}'), call('b', '{}')] },
  ],
  ['Let me see.\n{"name": "add", "parameters": {}}', { text: 'Let me see.\n', calls: [call('add', '{}')] }],
  ['Well <function=add>{}</function>', { text: 'Well ', calls: [call('add', '{}')] }],
  [
    '<|python_tag|>brave_search.call(query="a (b) \\"c\\"")',
    { text: '', calls: [call('brave_search', '{"query":"a (b) \\\\\\"c\\\\\\""}')] },
  ],
  ['<|python_tag|>{"name": "add", "parameters": {"a": 1}}', { text: '', calls: [call('add', '{"a": 1}')] }],
  [
    'Running.<|python_tag|>print("a\\n")\nx = 1',
    { text: 'Running.', calls: [call('code_interpreter', '{"code": "print(\\"a\\\\n\\")\\nx = 1"}')] },
  ],
  ['<|python_tag|>calls', { text: '', calls: [call('code_interpreter', '{"code": "calls"}')] }],
  ['{"name": "Bob", "age": 3}', { text: '{"name": "Bob", "age": 3}', calls: [] }],
  ['{"name": 3, "parameters": {}}', { text: '{"name": 3, "parameters": {}}', calls: [] }],
  ['{"name": "add", "parameters": [1]}', { text: '{"name": "add", "parameters": [1]}', calls: [] }],
  ['{"a": 1}', { text: '{"a": 1}', calls: [] }],
  ['{"name": "add", "par', { text: '{"name": "add", "par', calls: [] }],
  ['{"name": "add", "parameters": {"a": 1', { text: '', calls: [call('add', '{"a": 1')] }],
  ['<function=add> 1', { text: '<function=add> 1', calls: [] }],
  ['<func', { text: '<func', calls: [] }],
  ['{"name": "add", "parameters": {}} done', { text: ' done', calls: [call('add', '{}')] }],
];

describe('tool call stream', () => {
  it('reads every format, whole or character by character', () => {
    for (const [reply, expected] of REPLIES) {
      assert.deepEqual(read([reply]), expected, reply);
      assert.deepEqual(read([...reply]), expected, `${reply} by characters`);
      for (let cut = 1; cut < reply.length; cut++) {
        assert.deepEqual(read([reply.slice(0, cut), reply.slice(cut)]), expected, `${reply} cut at ${cut}`);
      }
    }
  });

  it('reads the same however the reply is cut, whatever it is', () => {
    const parts = [
      '{"name": "f", "parameters": ',
      '{"a": 1}',
      '"parameters"',
      '{"name": "f"',
      '<|python_tag|>',
      '<function=f>',
      '</function>',
      'f.call(x="1")',
      ...'{ } " : , ; < | \\ ( text'.split(' '),
      ' ',
      '\n',
    ];
    const replies = fc.array(fc.constantFrom(...parts), { maxLength: 10 }).map((list) => list.join(''));
    fc.assert(
      fc.property(replies, fc.integer({ min: 1, max: 9 }), (reply, length) => {
        const pieces = reply.match(new RegExp(`[^]{1,${length}}`, 'g')) ?? [];
        assert.deepEqual(read(pieces), read([reply]));
        assert.deepEqual(read([...reply]), read([reply]));
        if (read([reply]).calls.length === 0) assert.equal(read([reply]).text, reply.replaceAll('<|python_tag|>', ''));
      }),
      { numRuns: 2000, seed: 9 },
    );
  });

  it('leaves calls of tools it was not told of as text', () => {
    const json = '{"name": "add", "parameters": {}}';
    assert.deepEqual(read([...json], ['sub']), { text: json, calls: [] });
    assert.deepEqual(read([json], ['add']).calls.length, 1);
    assert.deepEqual(read(['<function=add>{}</function>'], ['sub']).calls, []);
    assert.deepEqual(read(['<|python_tag|>print(1)'], ['add']), { text: 'print(1)', calls: [] });
    assert.deepEqual(read(['<|python_tag|>brave_search.call(query="x")'], ['add']).calls, []);
  });

  it('tells name and arguments before the call is over', () => {
    const stream = new ToolCallStream();
    assert.deepEqual(stream.push('{"name": "add", "parameters": {"te'), [
      { kind: 'call-start', index: 0, name: 'add' },
      { kind: 'arguments', index: 0, fragment: '{"te' },
    ]);
    assert.deepEqual(stream.push('xt": "a'), [{ kind: 'arguments', index: 0, fragment: 'xt": "a' }]);
    assert.equal(stream.numCalls, 1);
  });

  it('does not hold text back', () => {
    const stream = new ToolCallStream();
    assert.deepEqual(stream.push('One'), [{ kind: 'text', text: 'One' }]);
    assert.deepEqual(stream.push(' two'), [{ kind: 'text', text: ' two' }]);
    assert.deepEqual(stream.push(' a <'), [{ kind: 'text', text: ' a ' }]);
    assert.deepEqual(stream.push(' b'), [{ kind: 'text', text: '< b' }]);
  });
});
