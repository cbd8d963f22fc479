/**
 * What a request can be refused with: status, type and code as OpenAI's API has them, and the bodies of both API families.
 * Source: OpenAI API reference, "Error codes"; Ollama docs/api.md.
 */
import { CapacityError, ConfigError, CriaError, RequestError, ShapeError, UsageError } from '../util/errors.ts';

export interface ApiErrorDetails {
  /** OpenAI's machine-readable reason, such as `context_length_exceeded`; null where it has none. */
  readonly reason?: string | null;
  /** The field of the request that is wrong; null if it is not about one. */
  readonly param?: string | null;
  readonly retryAfterSeconds?: number | null;
  /** Further members of the error body. */
  readonly extra?: Readonly<Record<string, number>>;
  /** What the log says instead of the message, where that quotes the request. */
  readonly logged?: string | null;
}

/** A refusal that already knows how it is to be told. */
export class ApiError extends RequestError {
  readonly reason: string | null;
  readonly param: string | null;
  readonly retryAfterSeconds: number | null;
  readonly extra: Readonly<Record<string, number>>;
  readonly logged: string | null;

  constructor(status: number, message: string, details: ApiErrorDetails = {}, options?: ErrorOptions) {
    super(status, message, options);
    this.reason = details.reason ?? null;
    this.param = details.param ?? null;
    this.retryAfterSeconds = details.retryAfterSeconds ?? null;
    this.extra = details.extra ?? {};
    this.logged = details.logged ?? null;
  }
}

/** Status of a request whose client went away; nobody sees it but the log (nginx's convention). */
const CLIENT_CLOSED_REQUEST = 499;

/** A field of the request has an impossible value. */
export function invalidField(param: string, message: string): ApiError {
  return new ApiError(400, message, { param });
}

/** No such model here. */
export function modelNotFound(name: string): ApiError {
  const message = `the model "${name.slice(0, 200)}" does not exist here; GET /v1/models lists those that do`;
  return new ApiError(404, message, { reason: 'model_not_found', param: 'model' });
}

/** Too much is waiting already. */
export function tooManyRequests(message: string, retryAfterSeconds: number): ApiError {
  return new ApiError(429, message, { reason: 'rate_limit_exceeded', retryAfterSeconds });
}

/** The prompt, or prompt and reply together, are longer than the context. */
export function contextLengthExceeded(
  promptTokens: number,
  maxTokens: number | null,
  contextLength: number,
  param: string,
): ApiError {
  const wanted =
    maxTokens === null
      ? `the prompt has ${promptTokens} tokens and at least one is needed for the reply`
      : `${promptTokens} tokens of prompt and ${maxTokens} of reply were asked for`;
  const message = `this model's context is ${contextLength} tokens long; ${wanted}; shorten the prompt or ask for fewer tokens`;
  return new ApiError(400, message, {
    reason: 'context_length_exceeded',
    param,
    extra: { n_prompt_tokens: promptTokens, n_ctx: contextLength },
  });
}

/** The same for a prompt so long that its tokens were not counted to the end. */
export function promptTooLong(countedTokens: number, contextLength: number, param: string): ApiError {
  const message = `this model's context is ${contextLength} tokens long; the prompt has more than ${countedTokens} tokens; shorten it`;
  return new ApiError(400, message, {
    reason: 'context_length_exceeded',
    param,
    extra: { n_prompt_tokens: countedTokens, n_ctx: contextLength },
  });
}

/** Any error as one that can be told to a client; bugs of ours become a 500 that says nothing else. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  const options = { cause: error };
  if (error instanceof RequestError) return new ApiError(error.status, error.message, {}, options);
  if (error instanceof CapacityError) return new ApiError(503, error.message, { retryAfterSeconds: 10 }, options);
  if (error instanceof ConfigError || error instanceof UsageError || error instanceof ShapeError) {
    return new ApiError(400, error.message, { param: pointerOf(error) }, options);
  }
  if (error instanceof CriaError && error.code !== 'E_INTERNAL') return new ApiError(500, error.message, {}, options);
  const { name } = (error ?? {}) as Error;
  if (name === 'AbortError') return new ApiError(CLIENT_CLOSED_REQUEST, 'the client went away', {}, options);
  if (name === 'TimeoutError') return new ApiError(504, 'the request took too long and was ended', {}, options);
  return new ApiError(500, 'internal error; the log of the server has it under this request id', {}, options);
}

/** Where in a schema the fault lies, for errors that know. */
function pointerOf(error: object): string | null {
  const { pointer } = error as { pointer?: unknown };
  return typeof pointer === 'string' ? pointer : null;
}

/** OpenAI's name for the kind of error: a wrong key and a wrong model are invalid requests too, `code` tells them apart. */
function errorType(status: number): string {
  if (status === 429) return 'rate_limit_error';
  return status >= 500 ? 'server_error' : 'invalid_request_error';
}

/** The body OpenAI's clients read. */
export function openaiErrorBody(error: ApiError): object {
  const { message, status, param, reason, extra } = error;
  return { error: { message, type: errorType(status), param, code: reason, ...extra } };
}

/** The body Ollama's clients read. */
export function ollamaErrorBody(error: ApiError): object {
  return { error: error.message };
}
