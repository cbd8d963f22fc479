/**
 * Which files of a repository a model needs: weights of one format, configuration, tokenizer.
 */
import { UsageError } from '../util/errors.ts';
import type { HubModelId } from './hub-id.ts';

export interface HubFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** SHA-256 of a large file, or the git object id of a small one. */
  readonly hash: string;
}

const SMALL_FILES = new Set([
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'merges.txt',
  'tokenizer.model',
  'special_tokens.json',
  'chat_template.jinja',
  'params.json',
  'adapter_config.json',
  'LICENSE',
  'LICENSE.txt',
  'USE_POLICY.md',
]);

// In the order in which they are preferred.
const WEIGHT_PATTERNS = [
  /\.safetensors(\.index\.json)?$/,
  /^consolidated\.\d\d\.pth$/,
  /^pytorch_model(-\d{5}-of-\d{5})?\.bin(\.index\.json)?$/,
];

/** Whether a file in a folder holds weights that are not GGUF. */
export function holdsWeights(path: string): boolean {
  return WEIGHT_PATTERNS.some((pattern) => pattern.test(path)) && !path.endsWith('.json');
}

/** Whether the files of a folder hold weights, and of weights in numbered parts every part. */
export function holdsWholeModel(paths: readonly string[]): boolean {
  const weights = paths.filter((path) => holdsWeights(path) || path.endsWith('.gguf'));
  const missing = new Map<string, number>();
  for (const path of weights) {
    const part = /^(.*)-\d{5}-of-(\d{5})(\.\w+)$/.exec(path);
    if (part === null) continue;
    const [, stem = '', total = '', ending = ''] = part;
    const key = `${stem}-of-${total}${ending}`;
    missing.set(key, (missing.get(key) ?? Number(total)) - 1);
  }
  return weights.length > 0 && [...missing.values()].every((count) => count <= 0);
}

/** The files to download for `id`; throws a UsageError if there is no such file, no model, or a choice to make. */
export function filesOfModel(id: HubModelId, files: readonly HubFile[]): HubFile[] {
  if (id.file !== null) return filesNamed(id, id.file, files);
  const top = files.filter(({ path }) => !path.includes('/'));
  const small = top.filter(({ path }) => SMALL_FILES.has(path));
  const weights = WEIGHT_PATTERNS.map((pattern) => top.filter(({ path }) => pattern.test(path)));
  const found = weights.find((candidates) => candidates.length > 0);
  if (found !== undefined) return [...small, ...withoutDuplicates(found)];
  const firsts = files.filter(({ path }) => isFirstGguf(path));
  if (firsts.length === 1) return filesNamed(id, firsts[0]!.path, files);
  if (firsts.length > 1) {
    const names = firsts.map(({ path }) => `${id.repo}:${path}`).join(', ');
    throw new UsageError(`${id.repo} holds ${firsts.length} GGUF files; pull one of: ${names}`);
  }
  throw new UsageError(`${id.repo} holds no weights in safetensors, GGUF or Meta's format`);
}

/** Whether a file is a GGUF file, and if it is a part of one, the first part. */
export function isFirstGguf(path: string): boolean {
  return path.endsWith('.gguf') && !/-(?!00001)\d{5}-of-\d{5}\.gguf$/.test(path);
}

/** Llama repositories carry Meta's own file as consolidated.safetensors beside the shards. */
function withoutDuplicates(weights: readonly HubFile[]): HubFile[] {
  const model = weights.filter(({ path }) => !path.startsWith('consolidated'));
  return model.length > 0 ? model : [...weights];
}

/** One file, or all parts of a split GGUF file. */
function filesNamed(id: HubModelId, path: string, files: readonly HubFile[]): HubFile[] {
  const parts = /^(.*)-\d{5}-of-(\d{5})\.gguf$/.exec(path);
  const found = files.filter((file) => {
    if (file.path === path) return true;
    return parts !== null && file.path.startsWith(`${parts[1]}-`) && file.path.endsWith(`-of-${parts[2]}.gguf`);
  });
  if (found.length > 0) return found;
  const names = files.slice(0, 50).map((file) => file.path);
  throw new UsageError(`${id.repo} has no file ${path}; it has: ${names.join(', ')}`);
}
