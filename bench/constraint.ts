/**
 * Time that constraints take per token on a vocabulary of 128,000 tokens: npx tsx bench/constraint.ts --tokenizer FILE. First replies meet
 * states nobody has met; later ones with the same constraint find them worked out.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import {
  choiceConstraint,
  grammarConstraint,
  jsonConstraint,
  jsonSchemaConstraint,
  prepareJson,
  regexConstraint,
} from '../src/constrain/compile.ts';
import { toolConstraint } from '../src/constrain/tool-constraint.ts';
import { ConstraintVocabulary } from '../src/constrain/vocabulary.ts';
import type { TokenConstraint } from '../src/infer/token-constraint.ts';
import { readMetaTokenizer } from '../src/tokenizer/tiktoken-file.ts';
import type { Tokenizer } from '../src/tokenizer/tokenizer.ts';

type Case = { name: string; make: (vocabulary: ConstraintVocabulary) => TokenConstraint; replies: readonly string[] };

const PERSON = {
  type: 'object',
  properties: {
    name: { type: 'string' },
    age: { type: 'integer', minimum: 0, maximum: 150 },
    email: { type: 'string', format: 'email' },
    tags: { type: 'array', items: { type: 'string', maxLength: 20 }, maxItems: 5 },
    address: {
      type: 'object',
      properties: { street: { type: 'string' }, zip: { type: 'string', pattern: '^[0-9]{5}$' } },
      required: ['street'],
    },
  },
  required: ['name', 'age'],
};
const TREE = {
  $defs: {
    node: {
      type: 'object',
      properties: {
        label: { type: 'string' },
        weight: { type: 'number' },
        children: { type: 'array', items: { $ref: '#/$defs/node' } },
      },
      required: ['label', 'children'],
    },
  },
  $ref: '#/$defs/node',
};
const TOOLS = [
  {
    name: 'get_weather',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string' }, unit: { enum: ['celsius', 'fahrenheit'] } },
      required: ['city'],
    },
  },
  {
    name: 'search',
    parameters: {
      type: 'object',
      properties: { query: { type: 'string' }, limit: { type: 'integer', minimum: 1, maximum: 100 } },
      required: ['query'],
    },
  },
];
const ARITHMETIC = `root ::= (sum "=" space product "\\n")+
sum ::= product ([-+*/] space product)*
product ::= name | number | "(" space sum ")" space
name ::= [a-z] [a-z0-9_]* space
number ::= [0-9]+ space
space ::= [ ]*`;

const CASES: readonly Case[] = [
  {
    name: 'any JSON object',
    make: (vocabulary) => jsonConstraint(vocabulary),
    replies: [
      '{\n  "name": "Ada",\n  "list": [1, 2.5, -3e10, true, null, {"x": "y"}],\n  "nested": {"a": {"b": {"c": "deep"}}}\n}',
      '{"title": "On the Analytical Engine", "pages": 66, "notes": [{"letter": "G", "text": "Bernoulli numbers…"}]}',
    ],
  },
  {
    name: 'schema of a person',
    make: (vocabulary) => jsonSchemaConstraint(PERSON, vocabulary),
    replies: [
      '{"name": "Ada Lovelace, the \\"first\\" 🦙", "age": 36, "email": "ada@example.org", "tags": ["math", "poetry"], "address": {"street": "St. James\'s Square 12", "zip": "12345"}}',
      '{"name": "Søren", "age": 7, "tags": ["a tag of 20 letters."], "address": {"street": "Nørregade"}}',
    ],
  },
  {
    name: 'schema of a tree',
    make: (vocabulary) => jsonSchemaConstraint(TREE, vocabulary),
    replies: [
      '{"label": "root", "weight": 1.5, "children": [{"label": "left", "children": []}, {"label": "right", "weight": 2, "children": [{"label": "leaf", "children": []}]}]}',
    ],
  },
  {
    name: 'string of 10 to 200 characters',
    make: (vocabulary) => jsonSchemaConstraint({ type: 'string', minLength: 10, maxLength: 200 }, vocabulary),
    replies: [
      '"This is a sentence of some length that goes on and on, with counting of each of the characters in it."',
    ],
  },
  {
    name: 'calls of two tools',
    make: (vocabulary) => toolConstraint(TOOLS, 'required', vocabulary, { parallel: true }),
    replies: [
      '{"name": "get_weather", "parameters": {"city": "Aarhus", "unit": "celsius"}}; {"name": "search", "parameters": {"query": "llama wool", "limit": 5}}',
    ],
  },
  {
    name: 'tools, choice left to the model',
    make: (vocabulary) => toolConstraint(TOOLS, 'auto', vocabulary),
    replies: [
      'Let me look that up for you, it takes a moment.\n{"name": "search", "parameters": {"query": "llama wool"}}',
    ],
  },
  {
    name: 'regular expression',
    make: (vocabulary) => regexConstraint('[A-Z][a-z]+( [a-z]+){2,20}\\.', vocabulary),
    replies: ['This is a sentence of a few small words.'],
  },
  {
    name: 'grammar of sums',
    make: (vocabulary) => grammarConstraint(ARITHMETIC, vocabulary),
    replies: ['(a + b) * 2 = c\nx1 - y = 30\n'],
  },
  {
    name: 'choice of three',
    make: (vocabulary) => choiceConstraint(['yes', 'no', 'I do not know'], vocabulary),
    replies: ['I do not know'],
  },
];

const { values } = parseArgs({ options: { tokenizer: { type: 'string' } } });
if (values.tokenizer === undefined) throw new Error('Give --tokenizer FILE: a tokenizer.model of Llama 3.');
const tokenizer = readMetaTokenizer(readFileSync(values.tokenizer));
const vocabulary = timed('vocabulary', () => new ConstraintVocabulary(tokenizer));
timed('JSON worked out in advance', () => prepareJson(vocabulary));

console.log(
  '| constraint | compiled, ms | tokens | first reply, ms a token: mean, p50, p99 | later replies: mean, p99 |',
);
console.log('|---|---|---|---|---|');
const allFirst: number[] = [];
for (const { name, make, replies } of CASES) {
  const start = performance.now();
  const constraint = make(vocabulary);
  const compileMs = performance.now() - start;
  const first = replies.flatMap((reply) => follow(tokenizer, constraint, reply));
  const later = Array.from({ length: 20 }, () =>
    replies.flatMap((reply) => follow(tokenizer, constraint, reply)),
  ).flat();
  allFirst.push(...first);
  const cells = [mean(first), quantile(first, 0.5), quantile(first, 0.99)].map((ms) => ms.toFixed(2)).join(', ');
  const laterCells = [mean(later), quantile(later, 0.99)].map((ms) => ms.toFixed(4)).join(', ');
  console.log(`| ${name} | ${compileMs.toFixed(1)} | ${first.length} | ${cells} | ${laterCells} |`);
}
console.log(
  `all first replies: mean ${mean(allFirst).toFixed(2)}, p50 ${quantile(allFirst, 0.5).toFixed(2)}, p99 ${quantile(allFirst, 0.99).toFixed(2)} ms`,
);

/** Milliseconds of each token of a reply: its mask and the step after it. */
function follow(text: Tokenizer, constraint: TokenConstraint, reply: string): number[] {
  const state = constraint.start();
  const times = text.encode(reply).map((id) => {
    const start = performance.now();
    const mask = state.allowed();
    state.advance(id);
    const ms = performance.now() - start;
    if (((mask[id >>> 5]! >>> (id & 31)) & 1) === 0) throw new Error(`${reply}: token ${id} is not allowed`);
    return ms;
  });
  if (!state.canEnd()) throw new Error(`${reply} may not end`);
  return times;
}

function timed<T>(what: string, run: () => T): T {
  const start = performance.now();
  const result = run();
  console.log(`${what}: ${(performance.now() - start).toFixed(0)} ms`);
  return result;
}

function mean(list: readonly number[]): number {
  return list.reduce((sum, value) => sum + value, 0) / list.length;
}

function quantile(list: readonly number[], share: number): number {
  return list.toSorted((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * share))]!;
}
