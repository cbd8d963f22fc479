/**
 * Several asynchronous sequences as one, in the order their items come.
 */

/** Items of all sources, each with the index of its source. */
export async function* mergeReplies<T>(
  sources: readonly AsyncIterable<T>[],
): AsyncGenerator<{ index: number; item: T }> {
  if (sources.length === 1) {
    for await (const item of sources[0]!) yield { index: 0, item };
    return;
  }
  const iterators = sources.map((source) => source[Symbol.asyncIterator]());
  const step = (index: number) => {
    const next = iterators[index]!.next().then((result) => ({ index, next: result }));
    next.catch(() => {}); // the race below tells of it; a reader that left asks no more
    return next;
  };
  const pending = new Map(iterators.map((_, index) => [index, step(index)]));
  while (pending.size > 0) {
    const { index, next } = await Promise.race(pending.values());
    if (next.done) {
      pending.delete(index);
      continue;
    }
    pending.set(index, step(index));
    yield { index, item: next.value };
  }
}
