/**
 * The OpenAPI document, from the same schemas that check the requests.
 */
import { z } from 'zod';
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
    info: { title: 'cria', version, license: { name: 'MIT' } },
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        apiKey: { type: 'apiKey', in: 'header', name: 'X-Api-Key' },
      },
    },
  };
}

function operation({ path, summary, schema, access }: Route): object {
  const parameters = [...path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  return {
    summary,
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(schema === null
      ? {}
      : { requestBody: { required: true, content: { 'application/json': { schema: bodySchema(schema) } } } }),
    ...(access === 'open' ? {} : { security: [{ bearer: [] }, { apiKey: [] }, {}] }),
    responses: {
      200: { description: 'the answer' },
      default: { description: 'an error, in the words of the API the path belongs to' },
    },
  };
}

function bodySchema(schema: z.ZodType): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return rest;
}
