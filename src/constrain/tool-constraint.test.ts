import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { ToolCallStream } from '../tokenizer/tool-call-stream.ts';
import { choiceConstraint } from './compile.ts';
import { idsOf, lets, randomNumbers, randomReply, smallVocabulary, stateAfter } from './constrain-test-support.ts';
import { toolConstraint, type ToolSignature } from './tool-constraint.ts';

const { vocabulary, bytesOf, specialId } = smallVocabulary();

const TOOLS: readonly ToolSignature[] = [
  {
    name: 'add',
    parameters: {
      type: 'object',
      properties: { a: { type: 'integer' }, b: { type: 'string', maxLength: 5 } },
      required: ['a'],
    },
  },
  { name: 'address', parameters: { properties: { city: { enum: ['Aarhus', 'Århus'] } }, required: ['city'] } },
  { name: 'now', parameters: null },
];
const validators = new Map(
  TOOLS.map(({ name, parameters }) => [
    name,
    new Ajv2020({ strict: false }).compile(parameters ?? { maxProperties: 0 }),
  ]),
);

function callsIn(reply: string): { name: string; args: unknown }[] {
  const stream = new ToolCallStream({ toolNames: TOOLS.map(({ name }) => name) });
  const calls: { name: string; args: string }[] = [];
  for (const event of [...stream.push(reply), ...stream.end()]) {
    if (event.kind === 'call-start') calls.push({ name: event.name, args: '' });
    if (event.kind === 'arguments') calls[event.index]!.args += event.fragment;
    if (event.kind === 'text') assert.equal(event.text.trim(), '', `text beside calls: ${reply}`);
  }
  return calls.map(({ name, args }) => ({ name, args: JSON.parse(args) as unknown }));
}

describe('tool constraints', () => {
  it('that require a call give calls which parse and validate', () => {
    const random = randomNumbers(6);
    for (const [choice, parallel] of [
      ['required', false],
      ['required', true],
      [{ name: 'address' }, false],
    ] as const) {
      const constraint = toolConstraint(TOOLS, choice, vocabulary, { parallel });
      let most = 0;
      for (let i = 0; i < 40; i++) {
        const bytes = randomReply(constraint, bytesOf, random, 60);
        if (bytes === null) continue;
        const calls = callsIn(Buffer.from(bytes).toString());
        most = Math.max(most, calls.length);
        assert.ok(calls.length >= 1 && (parallel || calls.length === 1));
        for (const { name, args } of calls) {
          assert.ok(validators.get(name)!(args), `${name} ${JSON.stringify(args)}`);
          if (choice !== 'required') assert.equal(name, choice.name);
        }
      }
      assert.ok(most >= 1);
    }
  });

  it('that leave the choice let any text pass', () => {
    const constraint = toolConstraint(TOOLS, 'auto', vocabulary);
    const texts = [
      [
        'Hello {"name": 1}',
        'a\n\n{"name": "Bob", "x": 1}',
        '{"name": "ad',
        '{',
        '\n{\n  "nam',
        '<function=other>{x',
        '<',
        '',
        '\n',
      ],
      ['{"name": "adder"}', 'text <function=add>{wrong', '\u0000\u{1F999}'],
    ].flat();
    for (const text of texts) assert.ok(lets(constraint, text), JSON.stringify(text));
  });

  it('that leave the choice keep a call once its tool is known', () => {
    const constraint = toolConstraint(TOOLS, 'auto', vocabulary);
    const good = [
      '{"name": "add", "parameters": {"a": 1}}',
      '{"name":"address","parameters":{"city":"Århus"}}',
      'Let me see.\n{"name": "now", "parameters": {}}',
      '<function=add>{"a": 1, "b": "x"}</function>',
    ];
    for (const text of good) assert.ok(lets(constraint, text), text);
    const bad = [
      '{"name": "add", "parameters": {"a": "x"}}',
      '{"name": "add", "x": 1}',
      '{"name": "add", "parameters": {"a": 1}',
      '{"name": "now", "parameters": {}} and more',
      '<function=add>{"b": "x"}</function>',
    ];
    for (const text of bad) assert.ok(!lets(constraint, text), text);
    assert.ok(lets(toolConstraint(TOOLS, 'auto', vocabulary, { parallel: true }), `${good[0]}\n${good[1]}`));
    assert.ok(!lets(constraint, `${good[0]}\n${good[1]}`));
  });

  it('that leave the choice let special tokens pass outside calls, and are over after one', () => {
    const constraint = toolConstraint(TOOLS, 'auto', vocabulary);
    const inCall = stateAfter(constraint, '{"name": "add", "par')!;
    assert.ok(!idsOf(inCall.allowed()).includes(specialId));
    const state = stateAfter(constraint, 'Well. ')!;
    assert.ok(idsOf(state.allowed()).includes(specialId));
    assert.ok(!idsOf(state.allowed()).includes(specialId + 1), 'the token that ends a reply is not the constraint’s');
    const copy = state.clone();
    state.advance(specialId);
    assert.equal(idsOf(state.allowed()).length, vocabulary.numIds - 1);
    assert.ok(state.canEnd());
    copy.advance(0x0a);
    for (const byte of new TextEncoder().encode('{"name": "add"')) copy.advance(byte);
    assert.deepEqual(
      idsOf(copy.allowed()).filter((id) => id < 256),
      [0x2c],
    );
  });

  it('name the tool and the place where a schema is wrong', () => {
    const wrong = [TOOLS[0]!, { name: 'bad', parameters: { type: 'object', properties: { x: { type: 'nothing' } } } }];
    assert.throws(() => toolConstraint(wrong, 'required', vocabulary), { pointer: '/1/parameters/properties/x/type' });
    assert.throws(() => toolConstraint(TOOLS, { name: 'none' }, vocabulary), { code: 'E_CONSTRAINT' });
    assert.throws(() => toolConstraint([], 'required', vocabulary), { code: 'E_CONSTRAINT' });
    // Where the model may choose, only strict tools insist: others take any object.
    assert.ok(lets(toolConstraint(wrong, 'auto', vocabulary), '{"name": "bad", "parameters": {"x": [1]}}'));
    const strict = wrong.map((tool) => ({ name: tool.name, parameters: tool.parameters, isStrict: true }));
    assert.throws(() => toolConstraint(strict, 'auto', vocabulary), { pointer: '/1/parameters/properties/x/type' });
    const list = [{ name: 'list', parameters: { type: 'array' } }];
    assert.throws(() => toolConstraint(list, 'required', vocabulary), { pointer: '/0/parameters' });
  });

  it('are kept: the same source gives the same constraint', () => {
    assert.equal(toolConstraint(TOOLS, 'required', vocabulary), toolConstraint([...TOOLS], 'required', vocabulary));
    assert.equal(choiceConstraint(['a'], vocabulary), choiceConstraint(['a'], vocabulary));
    assert.notEqual(choiceConstraint(['a'], vocabulary), choiceConstraint(['b'], vocabulary));
  });
});
