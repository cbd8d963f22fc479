/**
 * A choice among given texts as an expression.
 */
import type { Expression, ExpressionTable } from './expression.ts';

/** One of some texts; those that begin alike share their beginning. */
export function literals(table: ExpressionTable, texts: readonly string[]): Expression {
  return prefixTree(
    table,
    texts.map((text) => [...new TextEncoder().encode(text)]),
    0,
  );
}

function prefixTree(table: ExpressionTable, texts: readonly (readonly number[])[], at: number): Expression {
  const byNext = new Map<number, (readonly number[])[]>();
  let endsHere = false;
  for (const text of texts) {
    const next = text[at];
    if (next === undefined) endsHere = true;
    else if (byNext.has(next)) byNext.get(next)!.push(text);
    else byNext.set(next, [text]);
  }
  const options = Array.from(byNext, ([byte, same]) => {
    const [only] = same;
    const rest =
      same.length === 1
        ? table.sequence(...only!.slice(at + 1).map((b) => table.byteRange(b, b)))
        : prefixTree(table, same, at + 1);
    return table.sequence(table.byteRange(byte, byte), rest);
  });
  return table.choice(...options, endsHere ? table.empty : table.never);
}
