import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseToolCall } from './parse-tool-call.ts';

const cases: readonly [string, ReturnType<typeof parseToolCall>][] = [
  ['{"name": "add", "parameters": {"a": 2}}<|eot_id|>', { name: 'add', arguments: { a: 2 } }],
  ['<|python_tag|>{"name": "add", "parameters": {}}<|eom_id|>', { name: 'add', arguments: {} }],
  [' {"name": "now"}\n', { name: 'now', arguments: {} }],
  [
    '<|python_tag|>brave_search.call(query="a, \\"b\\"", lang="da")',
    { name: 'brave_search', arguments: { query: 'a, \\"b\\"', lang: 'da' } },
  ],
  ['brave_search.call(query="x")', { name: 'brave_search', arguments: { query: 'x' } }],
  ['<function=add>{"a": 1}</function>', { name: 'add', arguments: { a: 1 } }],
  ['<|python_tag|>print(1)', { name: 'code_interpreter', arguments: { code: 'print(1)' } }],
  ['The answer is {"name": "add"}.', null],
  ['{"name": 3}', null],
  ['{"name": "add", "parameters": [1]}', null],
  ['<function=add>{"a": </function>', null],
  ['f.call(x=1)', null],
  ['', null],
];

test('reads every form of a tool call and leaves text alone', () => {
  for (const [text, call] of cases) assert.deepEqual(parseToolCall(text), call, text);
});
