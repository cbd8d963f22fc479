/**
 * The JSON body of a request nobody vouches for: size, encoding and nesting are checked before it is parsed, and its fields by a schema.
 */
import { z } from 'zod';
import { parseBoundedJson } from '../formats/bounded-json.ts';
import { FormatError } from '../util/errors.ts';
import { ApiError } from './api-error.ts';

/** Deeper than any request that is meant; parsers of schemas recurse. */
const BOUNDS = { maxDepth: 64, maxItems: 1_000_000 };

/** The body as bytes; throws a 413 once it is longer than `maxBytes`. */
async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array> {
  const declared = Number(request.headers.get('content-length') ?? 0);
  if (declared > maxBytes) throw tooLarge(maxBytes);
  const parts: Uint8Array[] = [];
  let numBytes = 0;
  if (request.body !== null) {
    for await (const part of request.body as unknown as AsyncIterable<Uint8Array>) {
      numBytes += part.length;
      if (numBytes > maxBytes) throw tooLarge(maxBytes);
      parts.push(part);
    }
  }
  return Buffer.concat(parts);
}

/** The body as a value of `schema`; every fault is a 400 that names the field. */
export async function readJson<T>(request: Request, schema: z.ZodType<T>, maxBytes: number): Promise<T> {
  const bytes = await readBytes(request, maxBytes);
  const result = schema.safeParse(parsed(bytes));
  if (result.success) return result.data;
  throw fieldError(result.error.issues[0]!);
}

function parsed(bytes: Uint8Array): unknown {
  if (bytes.length === 0) throw new ApiError(400, 'the body is empty; send a JSON object');
  try {
    return parseBoundedJson(bytes, BOUNDS, 'the body');
  } catch (error) {
    if (error instanceof FormatError) {
      throw new ApiError(400, error.message, { logged: 'the body is no JSON that is taken' }, { cause: error });
    }
    throw error;
  }
}

function tooLarge(maxBytes: number): ApiError {
  return new ApiError(413, `the body is larger than the ${maxBytes} bytes this server takes; send less`);
}

function fieldError(issue: z.core.$ZodIssue): ApiError {
  const path = renderPath(issue.path);
  if (issue.code === 'unrecognized_keys') {
    const param = path === '' ? issue.keys[0]! : `${path}.${issue.keys[0]!}`;
    const message = `${param.slice(0, 100)}: this field is not known here; leave it out (GET /openapi.json lists the fields)`;
    return new ApiError(400, message, { param: param.slice(0, 100), reason: 'unknown_parameter' });
  }
  if (issue.code === 'invalid_union') {
    const deepest = issue.errors.flat().toSorted((a, b) => b.path.length - a.path.length)[0];
    if (deepest && deepest.path.length > 0) return fieldError({ ...deepest, path: [...issue.path, ...deepest.path] });
  }
  return new ApiError(400, path === '' ? issue.message : `${path}: ${issue.message}`, { param: path || null });
}

/** `messages[0].content` */
function renderPath(path: readonly PropertyKey[]): string {
  return path
    .map((key, i) => (typeof key === 'number' ? `[${key}]` : i === 0 ? String(key) : `.${String(key)}`))
    .join('')
    .slice(0, 200);
}
