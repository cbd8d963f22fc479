/**
 * A JavaScript tokenizer as a contender of tokenizers.ts, in a process of its own: tokenizer-contender.ts NAME.
 * Answers each line of JSON with a line of JSON:
 *   {"load": MODEL_FILE} -> {"seconds", "mib"}    {"encode": TEXT_FILE, "seconds": S} -> {"seconds", "first", "tokens", "digest"}
 *   {"fresh": TEXT_FILE} -> {"seconds"}: of one encoding by a tokenizer just loaded, in a process that has long been at work
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { loadPeer } from './peers/load-peer.ts';
import { UsageError } from '../src/util/errors.ts';

type Encode = (text: string) => ArrayLike<number>;

/** How each contender loads: imports count, as they hold the vocabulary of some. The others bring vocabularies of their own. */
const CONTENDERS: Record<string, (modelFile: string) => Promise<Encode>> = {
  cria: async (modelFile) => {
    const { readTiktokenRanks } = await import('../src/tokenizer/tiktoken-file.ts');
    const { llama3Tokenizer } = await import('../src/tokenizer/llama3-tokenizer.ts');
    const startMs = cpuMs();
    const tokenizer = llama3Tokenizer(readTiktokenRanks(readFileSync(modelFile)), ['<|begin_of_text|>']);
    loadSeconds = (cpuMs() - startMs) / 1000;
    return (text) => tokenizer.encode(text);
  },
  'gpt-tokenizer': async () => {
    type Peer = { encode: (text: string, options: { disallowedSpecial: Set<string> }) => number[] };
    const peer = await loadPeer<Peer>('gpt-tokenizer/encoding/cl100k_base');
    const options = { disallowedSpecial: new Set<string>() }; // no search for special tokens, as with the others
    return (text) => peer.encode(text, options);
  },
  'llama3-tokenizer-js': async () => {
    type Peer = { default: { encode: (text: string, options: { bos: boolean; eos: boolean }) => number[] } };
    const peer = await loadPeer<Peer>('llama3-tokenizer-js');
    return (text) => peer.default.encode(text, { bos: false, eos: false });
  },
};

// Loading cria's own modules is not the tokenizer's time: they are compiled from TypeScript while they load.
let loadSeconds: number | null = null;

/** Processor time of all threads of this process: a busy neighbour does not lengthen it. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function residentMib(): number {
  return process.memoryUsage.rss() / 2 ** 20;
}

async function load(name: string, modelFile: string): Promise<{ encode: Encode; answer: object }> {
  const contender = CONTENDERS[name];
  if (contender === undefined) {
    throw new UsageError(`no contender "${name}"; there are ${Object.keys(CONTENDERS).join(', ')}`);
  }
  const [before, startMs] = [residentMib(), cpuMs()];
  const encode = await contender(modelFile);
  encode('hello');
  const seconds = loadSeconds ?? (cpuMs() - startMs) / 1000;
  return { encode, answer: { seconds, mib: residentMib() - before } };
}

/** The first and the fastest of as many encodings as fit into `atLeast` seconds, two or more. */
function measure(encode: Encode, text: string, atLeast: number): object {
  let [best, first] = [Infinity, Infinity];
  let ids: ArrayLike<number> = [];
  const began = cpuMs();
  for (let tries = 0; tries < 2 || cpuMs() - began < atLeast * 1000; tries++) {
    const startMs = cpuMs();
    ids = encode(text);
    const ms = cpuMs() - startMs;
    if (tries === 0) first = ms;
    best = Math.min(best, ms);
  }
  const digest = createHash('sha256').update(Array.from(ids).join(',')).digest('hex').slice(0, 16);
  return { seconds: best / 1000, first: first / 1000, tokens: ids.length, digest };
}

const texts = new Map<string, string>();
const textOf = (file: string): string => {
  const text = texts.get(file) ?? readFileSync(file, 'utf8');
  texts.set(file, text);
  return text;
};
let encode: Encode | null = null;
let modelFile = '';
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line) as { load: string } | { fresh: string } | { encode: string; seconds: number };
  let answer: object;
  if ('load' in request) {
    modelFile = request.load;
    ({ encode, answer } = await load(process.argv[2] ?? '', modelFile));
  } else if ('fresh' in request) {
    const fresh = (await load(process.argv[2] ?? '', modelFile)).encode;
    const startMs = cpuMs();
    fresh(textOf(request.fresh));
    answer = { seconds: (cpuMs() - startMs) / 1000 };
  } else answer = measure(encode!, textOf(request.encode), request.seconds);
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
