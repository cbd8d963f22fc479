/**
 * How a row of the table of routes says what it answers: a schema for each media type. Only the OpenAPI document reads it; a test holds
 * the answers against it.
 */
import { z } from 'zod';
import { ollamaErrorSchema, openaiErrorSchema } from './error-schema.ts';

/** Bodies of status 200 by media type; of a stream, each event or line. */
export type ResponseSchemas = Readonly<Record<string, z.ZodType>>;

/** Of a row without a body. */
export const NO_BODY: ResponseSchemas = {};
/** Of a row that the document leaves out. */
export const UNDOCUMENTED: ResponseSchemas = {};

/** One JSON value. */
export function json(schema: z.ZodType): ResponseSchemas {
  return { 'application/json': schema };
}

/** One JSON value, or server-sent events if the request asks for a stream. */
export function jsonOrEvents(whole: z.ZodType, event: z.ZodType): ResponseSchemas {
  const events = z
    .union([event, openaiErrorSchema])
    .describe('the data of each server-sent event; the last event is [DONE], or an error where the reply breaks off');
  return { ...json(whole), 'text/event-stream': events };
}

/** One JSON value, or lines of JSON unless the request asks for no stream. */
export function jsonOrLines(whole: z.ZodType, line: z.ZodType): ResponseSchemas {
  const lines = z
    .union([line, ollamaErrorSchema])
    .describe('each line; the last is an error where the work breaks off');
  return { ...json(whole), 'application/x-ndjson': lines };
}
