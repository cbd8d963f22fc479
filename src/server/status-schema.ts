/**
 * What the routes that tell of the server itself answer, for the OpenAPI document.
 */
import { z } from 'zod';

export const healthSchema = z.object({ status: z.literal('ok') });
export const versionSchema = z.object({ version: z.string() });
export const metricsSchema = z.string().describe('the text format of Prometheus');

const anyObject = z.record(z.string(), z.unknown());
export const documentSchema = z
  .object({ openapi: z.literal('3.1.0'), info: anyObject, paths: anyObject, components: anyObject })
  .describe('an OpenAPI document');
