/**
 * The OpenAPI document, held against what a server answers: every route, whole and streamed, refused and broken off. Members that the document
 * does not name count as faults here, and so do members that it names and nobody answers.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormatsModule from 'ajv-formats';
import { toolConstraint } from '../constrain/tool-constraint.ts';
import { constraintVocabulary } from './constraint-vocabulary.ts';
import type { ModelCatalog } from './served-model.ts';
import { createCriaServer, type CriaServer } from './server.ts';
import { toyCatalog } from './toy-catalog.ts';

const addFormats = addFormatsModule as unknown as (ajv: Ajv2020) => void;

const messages = [{ role: 'user', content: 'hay' }];
const short = { max_tokens: 4, seed: 1 };
const noArguments = { type: 'object', properties: {}, additionalProperties: false };
const tools = [{ type: 'function', function: { name: 'weather', parameters: noArguments } }];
const calling = { messages, tools, tool_choice: 'required', parallel_tool_calls: false };
const streamed = { stream: true, stream_options: { include_usage: true } };
const options = { num_predict: 4, seed: 1 };

/** A route as the document names it, a body, and the id in its path. */
type Request = readonly [route: string, body?: object | undefined, id?: string];

const ANSWERED: readonly Request[] = [
  ['post /v1/chat/completions', { messages, ...short }],
  ['post /v1/chat/completions', { messages, ...short, n: 2, logprobs: true, top_logprobs: 2, prompt_logprobs: 1 }],
  ['post /v1/chat/completions', calling],
  ['post /v1/chat/completions', { messages, ...short, stream: true }],
  ['post /v1/chat/completions', { messages, ...short, ...streamed, n: 2, logprobs: true, top_logprobs: 1 }],
  ['post /v1/chat/completions', { ...calling, stream: true }],
  ['post /v1/completions', { prompt: 'hay', ...short }],
  ['post /v1/completions', { prompt: ['a', 'b'], ...short, logprobs: 2, echo: true, best_of: 2, prompt_logprobs: 1 }],
  ['post /v1/completions', { prompt: 'hay', ...short, stream: true }],
  ['post /v1/completions', { prompt: 'hay', ...short, ...streamed, logprobs: 1 }],
  ['post /v1/embeddings', { input: ['hay', 'the'] }],
  ['post /v1/embeddings', { input: 'hay', encoding_format: 'base64' }],
  ['get /v1/models'],
  ['get /v1/models/{id}', undefined, 'toy'],
  ['post /api/chat', { messages, options }],
  ['post /api/chat', { messages, options, logprobs: true, top_logprobs: 1 }],
  ['post /api/chat', { messages, options, logprobs: true, top_logprobs: 1, stream: false }],
  ['post /api/chat', { messages, tools }],
  ['post /api/chat', { messages, tools, stream: false }],
  ['post /api/chat', { messages: [] }],
  ['post /api/generate', { prompt: 'hay', options, logprobs: true, top_logprobs: 1 }],
  ['post /api/generate', { prompt: 'hay', options, logprobs: true, top_logprobs: 1, stream: false }],
  ['post /api/generate', {}],
  ['post /api/embed', { input: ['hay'] }],
  ['get /api/tags'],
  ['get /api/ps'],
  ['post /api/show', {}],
  ['post /api/pull', { model: 'org/pulled' }],
  ['post /api/pull', { model: 'org/pulled', stream: false }],
  ['delete /api/delete', { model: 'org/pulled' }],
  ['get /api/version'],
  ['post /tokenize', { content: 'the hay' }],
  ['post /tokenize', { content: 'é', with_pieces: true }],
  ['post /tokenize', { prompt: 'the hay', return_token_strs: true }],
  ['post /tokenize', { messages }],
  ['post /detokenize', { tokens: [65, 66] }],
  ['get /health'],
  ['get /health/live'],
  ['get /metrics'],
  ['get /version'],
  ['get /openapi.json'],
];

const REFUSED: readonly Request[] = [
  ['post /v1/chat/completions', { messages: [] }],
  ['post /v1/completions', { prompt: 'x'.repeat(1100) }],
  ['post /v1/embeddings', { model: 'none', input: 'x' }],
  ['get /v1/models/{id}', undefined, 'none'],
  ['post /api/chat', { messages: 1 }],
  ['post /api/show', { model: 'none' }],
  ['delete /api/delete', { model: 'toy' }],
  ['post /tokenize', {}],
];

const LONG = { max_tokens: 900, ignore_eos: true };
const BROKEN_OFF: readonly Request[] = [
  ['post /v1/chat/completions', { messages, ...LONG, stream: true }],
  ['post /v1/completions', { prompt: 'hay', ...LONG, stream: true }],
  ['post /api/chat', { messages, options: { num_predict: 900 } }],
  ['post /api/generate', { prompt: 'hay', options: { num_predict: 900 } }],
  ['post /api/pull', { model: 'nowhere' }],
];

interface Answer {
  readonly what: string;
  readonly isRefusal: boolean;
  /** Where in the document it is described. */
  readonly pointer: string;
  /** What the schema there describes: the whole body, each event or each line. */
  readonly values: readonly unknown[];
}

interface Described {
  readonly content?: Readonly<Record<string, { readonly schema: unknown }>>;
}

interface Operation {
  readonly responses: { readonly 200: Described; readonly default: { readonly $ref: string } };
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly responses: Readonly<Record<string, Described>> };
}

describe('the OpenAPI document', () => {
  let server: CriaServer;
  let document: Document;
  let answers: Answer[];

  before(async () => {
    server = await createCriaServer(callingCatalog(), {
      settings: { loadWaitMs: 60_000 },
      registry: { pinned: ['toy'] },
    });
    document = (await (await server.app.request('/openapi.json')).json()) as Document;
    answers = [];
    for (const request of [...ANSWERED, ...REFUSED]) {
      const response = await ask(server, request);
      answers.push(answerOf(document, request, response, await response.text()));
    }
    answers.push(...(await brokenOff(server, document)));
  });
  after(() => server.registry.close());

  it('describes every answer as it is', () => {
    const ajv = new Ajv2020({ strict: false });
    addFormats(ajv);
    ajv.addSchema(closed(document) as object, 'document');
    for (const { what, pointer, values } of answers) {
      const validate = ajv.getSchema(`document#${pointer}`);
      assert.ok(validate, `${what}: nothing is at ${pointer}`);
      for (const value of values)
        assert.ok(validate(value), `${what}: ${ajv.errorsText(validate.errors)}\n${JSON.stringify(value)}`);
    }
  });

  it('describes nothing that is not answered', () => {
    const described = describedIn(document);
    const answered = new Set(answers.map(({ pointer }) => pointer));
    assert.deepEqual([...answered].toSorted(), [...described.keys()].toSorted());
    for (const [pointer, schema] of described) {
      const answersThere = answers.filter((answer) => answer.pointer === pointer);
      const names = new Set(namesIn(answersThere.map(({ values }) => values)));
      const unanswered = propertiesOf(schema).filter((name) => !names.has(name));
      assert.deepEqual(unanswered, [], pointer);
    }
  });

  it('is held against answers, refusals and streams that broke off', () => {
    const kinds = answers.map(({ isRefusal, values }) => {
      const last = values.at(-1) ?? {};
      return isRefusal ? 'refused' : typeof last === 'object' && 'error' in last ? 'broken off' : 'answered';
    });
    const meant = [ANSWERED.map(() => 'answered'), REFUSED.map(() => 'refused'), BROKEN_OFF.map(() => 'broken off')];
    assert.deepEqual(kinds, meant.flat());
  });
});

/** The toy model, but where a reply may call the tool, it does. */
function callingCatalog(): ModelCatalog {
  const catalog = toyCatalog({ model: { contextLength: 1024 } });
  const load: ModelCatalog['load'] = async (entry, onProgress) => {
    const served = await catalog.load(entry, onProgress);
    const { engine, tokenizer } = served;
    const generate = engine.generate.bind(engine);
    const signature = { name: 'weather', parameters: noArguments };
    const calls = toolConstraint([signature], 'required', constraintVocabulary(tokenizer));
    engine.generate = (request) => generate({ ...request, constraint: request.constraint ? calls : null });
    return served;
  };
  return { ...catalog, load };
}

function ask({ app }: CriaServer, [route, body, id = '']: Request): Promise<Response> {
  const [method, path] = route.split(' ') as [string, string];
  return Promise.resolve(
    app.request(path.replace('{id}', id), {
      method: method.toUpperCase(),
      ...(body === undefined ? {} : { body: JSON.stringify({ model: 'toy', ...body }) }),
    }),
  );
}

function answerOf({ paths }: Document, [route, body]: Request, { ok, headers }: Response, text: string): Answer {
  const [method, path] = route.split(' ') as [string, string];
  const type = (headers.get('content-type') ?? '').split(';')[0]!;
  const refusal = paths[path]![method]!.responses.default.$ref.replace('#/', '').split('/');
  return {
    what: `${route} ${JSON.stringify(body)}`,
    isRefusal: !ok,
    pointer: pointerTo(type, ...(ok ? ['paths', path, method, 'responses', '200'] : refusal)),
    values: type === '' ? [] : valuesIn(type, text),
  };
}

function valuesIn(type: string, text: string): unknown[] {
  if (type === 'application/json') return [JSON.parse(text)];
  if (type === 'text/plain') return [text];
  const lines = text.split('\n').filter((line) => line !== '' && line !== 'data: [DONE]');
  return lines.map((line) => JSON.parse(line.replace(/^data: /, '')));
}

/** Answers of streams that the end of the server ends, if nothing did before. */
async function brokenOff(server: CriaServer, document: Document): Promise<Answer[]> {
  const responses = await Promise.all(BROKEN_OFF.map((request) => ask(server, request)));
  const texts = responses.map((response) => response.text());
  server.endReplies();
  return Promise.all(texts.map(async (text, i) => answerOf(document, BROKEN_OFF[i]!, responses[i]!, await text)));
}

/** To the schema of a response; to the response itself if it has no body. As the fragment of a URI. */
function pointerTo(type: string, ...response: readonly string[]): string {
  return [...response, ...(type === '' ? [] : ['content', type, 'schema'])]
    .map((name) => `/${encodeURIComponent(name.replaceAll('~', '~0').replaceAll('/', '~1'))}`)
    .join('');
}

/** The same, but members that a schema does not name are faults. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== 'object' || schema === null) return schema;
  const inner = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, closed(value)]));
  return 'properties' in inner ? { additionalProperties: false, ...inner } : inner;
}

/** Pointers to all schemas of responses, with the schemas. */
function describedIn({ paths, components }: Document): Map<string, unknown> {
  const responses = [
    ...Object.entries(components.responses).map(
      ([name, response]) => [['components', 'responses', name], response] as const,
    ),
    ...Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(
        ([method, operation]) => [['paths', path, method, 'responses', '200'], operation.responses[200]] as const,
      ),
    ),
  ];
  return new Map(
    responses.flatMap(([place, { content = { '': { schema: {} } } }]) =>
      Object.entries(content).map(([type, { schema }]) => [pointerTo(type, ...place), schema] as const),
    ),
  );
}

/** Names of members, at any depth. */
function namesIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  const own = Array.isArray(value) ? [] : Object.keys(value);
  return [...own, ...Object.values(value).flatMap(namesIn)];
}

/** Names of members that a schema describes, at any depth. */
function propertiesOf(schema: unknown): string[] {
  if (typeof schema !== 'object' || schema === null) return [];
  const own = 'properties' in schema ? Object.keys(schema.properties as object) : [];
  return [...own, ...Object.values(schema).flatMap(propertiesOf)];
}
