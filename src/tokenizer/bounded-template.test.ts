/** Templates that would run or grow for ever end with an error. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Template } from '@huggingface/jinja';
import { boundedTemplate } from './bounded-template.ts';

const SMALL = { milliseconds: 5_000, valueSize: 2 ** 16 };

test('runs templates as the library does', () => {
  const context = { messages: [{ role: 'user', content: 'hi' }], none_given: null };
  for (const source of [
    '{% for i in range(3) %}{{ i }}{% endfor %}{% for i in range(5, 1, -2) %}{{ i }}{% endfor %}{{ range(2, 4) | list | tojson }}',
    "{%- for m in messages %}\n  {{- m.role | upper + ': ' + m['content'] }}\n{% endfor %}{{ none_given is none }} {{ true and False }}",
    '{% set ns = namespace(n=0) %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }} {{ messages | tojson(indent=2) }}',
    "{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}{{ twice('ab') }}{{ messages | map(attribute='role') | join(',') }}{{ None }}",
  ]) {
    assert.equal(boundedTemplate(source)(context), new Template(source).render(context), source);
  }
});

const DOUBLED = (start: string, doubled: string, use: string) =>
  `{% set ns = namespace(x=${start}) %}{% for i in range(60) %}{% set ns.x = ${doubled} %}{% endfor %}${use}`;

const HOSTILE: Readonly<Record<string, readonly [string, RegExp]>> = {
  'a long range': ['{{ range(1000000000000) | length }}', /range\(\) of 1000000000000 numbers/],
  'a text that doubles': [DOUBLED("'x'", 'ns.x + ns.x', '{{ ns.x | length }}'), /too large/],
  'a list that doubles': [DOUBLED('[1]', 'ns.x + ns.x', '{{ ns.x | length }}'), /too large/],
  'lists that hold the same list twice': [DOUBLED('[1]', '[ns.x, ns.x]', '{{ ns.x | tojson }}'), /too large/],
  'objects that hold the same object twice': [
    DOUBLED('{}', '{"a": ns.x, "b": ns.x}', '{{ ns.x | tojson }}'),
    /too large/,
  ],
  'a namespace in itself': ['{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns.x | tojson }}', /a namespace into/],
  'namespaces that hold the namespace before them twice': [
    `{% set n0 = namespace() %}${Array.from({ length: 60 }, (_, i) => `{% set n${i + 1} = namespace() %}{% set n${i + 1}.x = [n${i}, n${i}] %}`).join('')}{{ n60.x | tojson }}`,
    /a namespace into/,
  ],
  'a namespace of many large lists': [
    `{% set ns = namespace() %}${Array.from({ length: 60 }, (_, i) => `{% set ns.x${i} = range(60000) %}`).join('')}{{ ns | tojson }}`,
    /too large/,
  ],
  'a macro that calls itself': ['{% macro f(g) %}{{ g(g) }}{% endmacro %}{{ f(f) }}', /call stack/],
};
for (const [name, [source, message]] of Object.entries(HOSTILE)) {
  test(`refuses ${name}`, () => {
    assert.throws(() => boundedTemplate(source, SMALL)({}), message);
  });
}

test('refuses loops in loops that would run for hours', () => {
  const loops = `${'{% for i in range(60000) %}'.repeat(4)}x${'{% endfor %}'.repeat(4)}`;
  assert.throws(() => boundedTemplate(loops, { ...SMALL, milliseconds: 10 })({}), /runs for more than 0.01 s/);
});

test('refuses templates that nest deeper than the stack or are longer than any', () => {
  assert.throws(() => boundedTemplate(`{{ ${'('.repeat(100_000)}`), /call stack/);
  assert.throws(() => boundedTemplate('x'.repeat(2 ** 20 + 1)), /1048577 characters/);
  assert.throws(() => boundedTemplate(`x${' '.repeat(2 ** 19)}x`), /524288 white spaces/);
});
