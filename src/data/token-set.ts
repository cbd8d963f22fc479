/**
 * A corpus as tokens on disk: `train.bin`, `validation.bin`, and `tokens.json`, which says what they hold and what they were made from.
 * Every document begins with the beginning-of-text token, which marks its start, and ends with the end-of-text token.
 * Preparing again with the same sources and tokenizer finds the files there and does nothing.
 */
import { createHash } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { mkdir, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { writeTiktoken } from '../tokenizer/tiktoken-file.ts';
import { writeFileAtomic } from '../util/atomic-file.ts';
import { ConfigError } from '../util/errors.ts';
import { openCorpus, type Corpus, type SplitName, type SplitPiece } from './corpus.ts';
import { TokenFile, tokenTypeFor, type TokenSink, writeTokenFile } from './token-file.ts';

const count = z.number().int().nonnegative();
const splitSchema = z.strictObject({
  numTokens: count,
  /** Bytes of text, for bits per byte. */
  numBytes: count,
  numDocuments: count,
  /** Tokens of the shortest document; bounds how many documents a row can touch. */
  shortestDocument: count,
});
const manifestSchema = z.strictObject({
  format: z.literal('cria-tokens-1'),
  tokenType: z.enum(['uint16', 'uint32']),
  tokenizerHash: z.string(),
  validationFraction: z.number(),
  sources: z.array(z.strictObject({ name: z.string(), sizeBytes: count, sha256: z.string() })),
  splits: z.strictObject({ train: splitSchema, validation: splitSchema }),
});

export type TokenManifest = z.infer<typeof manifestSchema>;
export type SplitInfo = z.infer<typeof splitSchema>;

export interface TokenSetRequest {
  readonly paths: readonly string[];
  readonly validationFraction: number;
  readonly tokenizer: Tokenizer;
  /** Where the files go; made if need be. */
  readonly folder: string;
  /** Called now and then with the bytes of text done. */
  readonly onProgress?: (doneBytes: number) => void;
}

/** Makes the token files, or finds that they are there already. */
export async function prepareTokens(request: TokenSetRequest): Promise<TokenManifest> {
  const identity = {
    format: 'cria-tokens-1',
    tokenType: tokenTypeFor(request.tokenizer.vocabSize),
    tokenizerHash: tokenizerHash(request.tokenizer),
    validationFraction: request.validationFraction,
    sources: await Promise.all(request.paths.map(describeSource)),
  } as const;
  const old = readManifest(request.folder);
  if (old && JSON.stringify({ ...old, splits: null }) === JSON.stringify({ ...identity, splits: null })) return old;
  const corpus = openCorpus(request.paths, request.validationFraction); // names what is wrong with a source
  await mkdir(request.folder, { recursive: true });
  await rm(manifestPath(request.folder), { force: true }); // it must never describe files of another corpus
  const manifest: TokenManifest = { ...identity, splits: await writeSplits(request, corpus, identity.tokenType) };
  await writeFileAtomic(manifestPath(request.folder), (file) =>
    file.write(Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)),
  );
  return manifest;
}

/** Opens the tokens of one part of a prepared corpus. */
export function openSplit(folder: string, manifest: TokenManifest, split: SplitName): TokenFile {
  return new TokenFile(splitPath(folder, split), manifest.tokenType, manifest.splits[split].numTokens);
}

/** Identifies a tokenizer by all its contents. */
function tokenizerHash(tokenizer: Tokenizer): string {
  const { modelFile, specialTokensJson } = writeTiktoken(tokenizer);
  return createHash('sha256').update(modelFile).update(specialTokensJson).digest('hex');
}

async function describeSource(path: string): Promise<TokenManifest['sources'][number]> {
  const hash = createHash('sha256');
  const isFile = await stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
  // What is missing or no file is refused, with its reason, by the reader of documents.
  if (!isFile) return { name: basename(path), sizeBytes: 0, sha256: '' };
  let sizeBytes = 0;
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    sizeBytes += chunk.length;
  }
  return { name: basename(path), sizeBytes, sha256: hash.digest('hex') };
}

function readManifest(folder: string): TokenManifest | null {
  try {
    return manifestSchema.parse(JSON.parse(readFileSync(manifestPath(folder), 'utf8')));
  } catch {
    return null; // absent, unfinished or of another version: the files are made again
  }
}

function manifestPath(folder: string): string {
  return join(folder, 'tokens.json');
}

function splitPath(folder: string, split: SplitName): string {
  return join(folder, `${split}.bin`);
}

/** The training part comes first in the corpus, so one pass over it fills both files one after the other. */
async function writeSplits(
  { tokenizer, folder, onProgress }: TokenSetRequest,
  corpus: Corpus,
  tokenType: TokenManifest['tokenType'],
): Promise<TokenManifest['splits']> {
  const pieces = corpus.pieces()[Symbol.iterator]();
  let next = pieces.next();
  let doneBytes = 0;
  const splits = {} as Record<SplitName, SplitInfo>;
  for (const split of ['train', 'validation'] as const) {
    await writeTokenFile(splitPath(folder, split), tokenType, async (sink) => {
      const writer = new DocumentWriter(tokenizer, sink);
      for (; !next.done && next.value.split === split; next = pieces.next()) {
        await writer.write(next.value);
        onProgress?.((doneBytes += next.value.numBytes));
      }
      const isCutShort = split === 'train' && corpus.cut !== null && corpus.cut.byte > 0;
      splits[split] = await writer.finish(isCutShort);
    });
  }
  return splits;
}

/** Turns pieces of documents into tokens with their marks, and counts. */
class DocumentWriter {
  readonly #tokenizer: Tokenizer;
  readonly #sink: TokenSink;
  readonly #bosId: number;
  readonly #info = { numTokens: 0, numBytes: 0, numDocuments: 0, shortestDocument: Number.MAX_SAFE_INTEGER };
  #documentTokens = 0;

  constructor(tokenizer: Tokenizer, sink: TokenSink) {
    if (tokenizer.bosId === null || tokenizer.eosId === null) {
      throw new ConfigError(
        "the tokenizer has no tokens for the beginning and end of a text; train one, or use Llama 3's",
      );
    }
    this.#tokenizer = tokenizer;
    this.#bosId = tokenizer.bosId;
    this.#sink = sink;
  }

  async write(piece: SplitPiece): Promise<void> {
    if (piece.begins) {
      await this.#endDocument();
      await this.#put([this.#bosId]);
      this.#info.numDocuments++;
    }
    await this.#put(this.#tokenizer.encodeToUint32(piece.text));
    this.#info.numBytes += piece.numBytes;
  }

  /** What was written; a document that goes on in the other part gets no end. */
  async finish(isCutShort: boolean): Promise<SplitInfo> {
    await this.#endDocument(isCutShort);
    const { numDocuments, shortestDocument } = this.#info;
    return { ...this.#info, shortestDocument: numDocuments === 0 ? 0 : shortestDocument };
  }

  async #put(ids: ArrayLike<number>): Promise<void> {
    await this.#sink(ids);
    this.#documentTokens += ids.length;
    this.#info.numTokens += ids.length;
  }

  async #endDocument(isCutShort = false): Promise<void> {
    if (this.#documentTokens === 0) return;
    if (!isCutShort) await this.#put([this.#tokenizer.eosId!]);
    this.#info.shortestDocument = Math.min(this.#info.shortestDocument, this.#documentTokens);
    this.#documentTokens = 0;
  }
}
