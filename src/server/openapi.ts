/**
 * The OpenAPI document of a table of routes. What it says of requests is what checks them; what it says of answers is held against them by a test.
 */
import { z } from 'zod';
import { ollamaErrorSchema, openaiRefusalSchema } from './error-schema.ts';
import type { Route } from './route.ts';

/** The document of a table of routes. */
export function openapiDocument(routes: readonly Route[], version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)(?:\{[^}]*\})?/g, '{$1}');
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(route) };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'cria', version, license: { name: 'MIT', identifier: 'MIT' } },
    paths,
    components: {
      responses: {
        OpenAIError: errorResponse("an error, in the words of OpenAI's API", openaiRefusalSchema),
        OllamaError: errorResponse("an error, in the words of Ollama's API", ollamaErrorSchema),
      },
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        apiKey: { type: 'apiKey', in: 'header', name: 'X-Api-Key' },
      },
    },
  };
}

function operation({ path, summary, schema, access, responses }: Route): object {
  const parameters = [...path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  const error = path.startsWith('/api/') ? 'OllamaError' : 'OpenAIError';
  return {
    summary,
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(schema === null ? {} : { requestBody: { required: true, ...content({ 'application/json': schema }) } }),
    ...(access === 'open' ? {} : { security: [{ bearer: [] }, { apiKey: [] }, {}] }),
    responses: {
      200: { description: 'the answer', ...content(responses) },
      default: { $ref: `#/components/responses/${error}` },
    },
  };
}

function errorResponse(description: string, schema: z.ZodType): object {
  return { description, ...content({ 'application/json': schema }) };
}

function content(schemas: Readonly<Record<string, z.ZodType>>): object {
  const entries = Object.entries(schemas).map(([type, schema]) => [type, { schema: jsonSchema(schema) }]);
  return entries.length > 0 ? { content: Object.fromEntries(entries) } : {};
}

/** Open objects stay open, for a later version may answer more. */
function jsonSchema(schema: z.ZodType): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return rest;
}
