/**
 * What a reply must keep to, from the fields of a request: a response format, a constraint in vLLM's shape, or a choice of tools.
 */
import {
  choiceConstraint,
  grammarConstraint,
  jsonConstraint,
  jsonSchemaConstraint,
  regexConstraint,
} from '../constrain/compile.ts';
import { toolConstraint, type ToolSignature } from '../constrain/tool-constraint.ts';
import type { ConstraintVocabulary } from '../constrain/vocabulary.ts';
import type { TokenConstraint } from '../infer/token-constraint.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { ConstraintError } from '../util/errors.ts';
import { ApiError, invalidField } from './api-error.ts';
import { constraintVocabulary } from './constraint-vocabulary.ts';
import type { ChatRequest } from './openai-chat-schema.ts';
import type { SamplingFields } from './request-fields.ts';

type Source = readonly [param: string, make: (vocabulary: ConstraintVocabulary) => TokenConstraint];

/** The only constraint that the fields ask for; null if none. Throws a 400 if there are several or it cannot be kept. */
export function fieldConstraint(
  fields: SamplingFields,
  tokenizer: Tokenizer,
  more: readonly Source[] = [],
): TokenConstraint | null {
  const sources = [...more, ...structuredSources(fields)];
  if (sources.length > 1) {
    const names = sources.map(([param]) => param).join(' and ');
    throw invalidField(sources[1]![0], `${names} cannot be used together; keep one`);
  }
  const [source] = sources;
  return source === undefined ? null : compiled(source, tokenizer);
}

/** The same for a chat, whose tools constrain it too. */
export function chatConstraint(request: ChatRequest, tokenizer: Tokenizer): TokenConstraint | null {
  return fieldConstraint(request, tokenizer, [...formatSources(request), ...toolSources(request)]);
}

/** A constraint from JSON Schema, as Ollama's `format` has it; 'json' is any object. */
export function formatConstraint(
  format: 'json' | Readonly<Record<string, unknown>>,
  tokenizer: Tokenizer,
): TokenConstraint {
  return compiled(
    [
      'format',
      (vocabulary) => (format === 'json' ? jsonConstraint(vocabulary) : jsonSchemaConstraint(format, vocabulary)),
    ],
    tokenizer,
  );
}

function compiled([param, make]: Source, tokenizer: Tokenizer): TokenConstraint {
  try {
    return make(constraintVocabulary(tokenizer));
  } catch (error) {
    if (!(error instanceof ConstraintError)) throw error;
    const { pointer } = error as { pointer?: string | null };
    throw new ApiError(
      400,
      `${param}: ${error.message}`,
      { param: pointer ? `${param}#${pointer}` : param, logged: `${param}: cannot be kept to` },
      { cause: error },
    );
  }
}

function structuredSources(fields: SamplingFields): Source[] {
  const { structured_outputs: nested } = fields;
  const kinds: (readonly [string, Source[1] | null])[] = [];
  for (const [prefix, given] of [
    ['structured_outputs.', nested ?? {}],
    [
      'guided_',
      {
        json: fields.guided_json,
        regex: fields.guided_regex,
        choice: fields.guided_choice,
        grammar: fields.guided_grammar,
      },
    ],
  ] as const) {
    const { json, regex, choice, grammar } = given;
    kinds.push(
      [
        `${prefix}json`,
        json === undefined
          ? null
          : (vocabulary) => jsonSchemaConstraint(parsedSchema(json, `${prefix}json`), vocabulary),
      ],
      [`${prefix}regex`, regex === undefined ? null : (vocabulary) => regexConstraint(regex, vocabulary)],
      [`${prefix}choice`, choice === undefined ? null : (vocabulary) => choiceConstraint(choice, vocabulary)],
      [`${prefix}grammar`, grammar === undefined ? null : (vocabulary) => grammarConstraint(grammar, vocabulary)],
    );
  }
  return kinds.flatMap(([param, make]) => (make === null ? [] : [[param, make] as const]));
}

/** vLLM takes a schema as text too. */
function parsedSchema(schema: string | Readonly<Record<string, unknown>>, param: string): unknown {
  if (typeof schema !== 'string') return schema;
  try {
    return JSON.parse(schema);
  } catch {
    throw invalidField(param, `${param}: is not valid JSON`);
  }
}

function formatSources({ response_format: format }: ChatRequest): Source[] {
  if (format === undefined || format.type === 'text') return [];
  const [place, schema] =
    format.type === 'json_object'
      ? ['response_format.schema', format.schema]
      : ['response_format.json_schema.schema', format.json_schema.schema];
  if (schema === undefined) return [['response_format', jsonConstraint]];
  return [[place, (vocabulary) => jsonSchemaConstraint(schema, vocabulary)]];
}

function toolSources({
  tools = [],
  tool_choice: choice = 'auto',
  parallel_tool_calls: parallel = true,
}: ChatRequest): Source[] {
  const forces = choice === 'required' || typeof choice === 'object';
  if (tools.length === 0) {
    if (forces) throw invalidField('tool_choice', 'tool_choice: there are no tools to choose from; give tools');
    return [];
  }
  if (choice === 'none') return [];
  const signatures: ToolSignature[] = tools.map(({ function: { name, parameters, strict } }) => ({
    name,
    parameters: parameters ?? null,
    isStrict: strict ?? false,
  }));
  const chosen = typeof choice === 'object' ? { name: choice.function.name } : choice;
  if (typeof chosen === 'object' && !signatures.some(({ name }) => name === chosen.name)) {
    throw invalidField('tool_choice', `tool_choice: there is no tool "${chosen.name}"; name one of tools`);
  }
  // A named tool is called once, as by OpenAI: who uses it to get an object out of a text refuses a second one.
  const several = parallel && typeof chosen === 'string';
  return [['tools', (vocabulary) => toolConstraint(signatures, chosen, vocabulary, { parallel: several })]];
}
