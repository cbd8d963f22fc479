/**
 * The tokens of a vocabulary by their bytes, as a trie laid out in depth-first order: the nodes below a node follow it, so a walk is a loop
 * that jumps over what it need not see.
 */
import type { Sliced } from '../util/slices.ts';

/** Arrays by node; the root is not among them. */
export type TokenTrie = {
  readonly numNodes: number;
  /** The byte that leads to a node. */
  readonly byte: Uint8Array;
  /** Number of bytes up to it, 1 for the first. */
  readonly depth: Uint16Array;
  /** The node after those below it. */
  readonly end: Int32Array;
  /** Depth of the deepest token at or below it. */
  readonly deepest: Uint16Array;
  /** Bytes below a node, in 32 groups of eight: bit `byte >>> 3`. */
  readonly groupsBelow: Uint32Array;
  /** Tokens of a node are tokens[tokenStart[node] .. tokenStart[node + 1]). */
  readonly tokenStart: Int32Array;
  readonly tokens: Int32Array;
  /** Bytes of the longest token. */
  readonly maxDepth: number;
};

/** Tokens between two yields: a fraction of a millisecond. */
const TOKENS_PER_SLICE = 256;

type SortedTokens = { ids: Int32Array; bytes: readonly Uint8Array[]; common: Uint16Array };

/** The trie of tokens given as [id, bytes], none of them empty. */
export function* tokenTrie(entries: readonly (readonly [number, Uint8Array])[]): Sliced<TokenTrie> {
  const sorted = yield* sortedTokens(entries);
  const numNodes = sorted.bytes.reduce((sum, bytes, i) => sum + bytes.length - sorted.common[i]!, 0);
  const trie = {
    numNodes,
    byte: new Uint8Array(numNodes),
    depth: new Uint16Array(numNodes),
    end: new Int32Array(numNodes),
    deepest: new Uint16Array(numNodes),
    groupsBelow: new Uint32Array(numNodes),
    tokenStart: new Int32Array(numNodes + 1),
    tokens: sorted.ids,
    maxDepth: sorted.bytes.reduce((max, { length }) => Math.max(max, length), 0),
  };
  let node = 0;
  const path: number[] = [];
  const close = (depth: number) => {
    while (path.length > depth) trie.end[path.pop()!] = node;
  };
  for (const [i, bytes] of sorted.bytes.entries()) {
    if (i % TOKENS_PER_SLICE === 0) yield;
    close(sorted.common[i]!);
    for (let depth = sorted.common[i]!; depth < bytes.length; depth++) {
      trie.byte[node] = bytes[depth]!;
      trie.depth[node] = depth + 1;
      trie.tokenStart[node] = i;
      for (const above of path) trie.groupsBelow[above]! |= 1 << (bytes[depth]! >>> 3);
      path.push(node++);
    }
    trie.tokenStart[node] = i + 1;
    for (const above of path) trie.deepest[above] = Math.max(trie.deepest[above]!, bytes.length);
  }
  close(0);
  return trie;
}

/** In the order of their bytes, with the number of bytes each shares with the one before. */
function* sortedTokens(entries: readonly (readonly [number, Uint8Array])[]): Sliced<SortedTokens> {
  const bytes: Uint8Array[] = [];
  const ids = new Int32Array(entries.length);
  const common = new Uint16Array(entries.length);
  for (const bucket of yield* byFirstBytes(entries)) {
    bucket.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.id - b.id));
    for (const token of bucket) {
      const at = bytes.push(token.bytes) - 1;
      ids[at] = token.id;
      if (at > 0) common[at] = commonLength(bytes[at - 1]!, token.bytes);
    }
    yield;
  }
  return { ids, bytes, common };
}

/** One character a byte in `key`: the engine compares such strings at memory speed. */
type KeyedToken = { id: number; bytes: Uint8Array; key: string };

/** By their first two bytes, in the order of these: each part is sorted within a slice. */
function* byFirstBytes(entries: readonly (readonly [number, Uint8Array])[]): Sliced<KeyedToken[][]> {
  const buckets = new Map<number, KeyedToken[]>();
  for (const [i, [id, bytes]] of entries.entries()) {
    if (i % TOKENS_PER_SLICE === 0) yield;
    const first = (bytes[0]! << 8) | (bytes[1] ?? 0);
    const token = { id, bytes, key: Buffer.from(bytes).toString('latin1') };
    const bucket = buckets.get(first);
    if (bucket === undefined) buckets.set(first, [token]);
    else bucket.push(token);
  }
  return [...buckets].toSorted(([a], [b]) => a - b).map(([, bucket]) => bucket);
}

function commonLength(before: Uint8Array, here: Uint8Array): number {
  const most = Math.min(before.length, here.length);
  let length = 0;
  while (length < most && before[length] === here[length]) length++;
  return length;
}
