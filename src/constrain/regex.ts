/**
 * Regular expressions as expressions over bytes: the whole text must match, or a part of it may.
 */
import { ConstraintError } from '../util/errors.ts';
import { characterExpression, type CodePoints } from './code-points.ts';
import type { Expression, ExpressionTable } from './expression.ts';
import { ANYTHING, parseRegex, type RegexNode } from './regex-syntax.ts';

/** How a character is written where the text stands: as itself, or escaped within a JSON string. */
export type CharacterWriter = (set: CodePoints) => Expression;

/** Texts that match `pattern` from beginning to end. */
export function regexExpression(
  table: ExpressionTable,
  pattern: string,
  write: CharacterWriter = (set) => characterExpression(table, set),
): Expression {
  const options = topOptions(parseRegex(pattern)).map((parts) => withoutAnchors(parts));
  return nodeExpression(table, { kind: 'choice', options: options.map(({ node }) => node) }, write);
}

/** The tree, free of anchors, of the texts of which some part matches `pattern`, as JSON Schema understands patterns. */
export function searchTree(pattern: string): RegexNode {
  const options = topOptions(parseRegex(pattern)).map((parts): RegexNode => {
    const { node, begins, ends } = withoutAnchors(parts);
    return { kind: 'sequence', parts: [...(begins ? [] : [ANYTHING]), node, ...(ends ? [] : [ANYTHING])] };
  });
  return { kind: 'choice', options };
}

/** The parts of each option at the top, also of a choice in a group that is all there is. */
function topOptions(node: RegexNode): (readonly RegexNode[])[] {
  if (node.kind === 'choice') return node.options.flatMap(topOptions);
  if (node.kind === 'sequence') {
    // ^(a|b$) and the like: the choice moves out, so that its anchors stand at the ends.
    const { parts } = node;
    const inner = parts.filter(({ kind }) => kind !== 'begin' && kind !== 'end');
    const [only] = inner;
    if (inner.length === 1 && only!.kind === 'choice' && hasAnchor(only!)) {
      const at = parts.indexOf(only!);
      return topOptions(only!).map((option) => parts.slice(0, at).concat(option, parts.slice(at + 1)));
    }
    return [parts.flatMap((part) => (part.kind === 'sequence' && hasAnchor(part) ? part.parts : [part]))];
  }
  return [[node]];
}

function withoutAnchors(parts: readonly RegexNode[]): { node: RegexNode; begins: boolean; ends: boolean } {
  let from = 0;
  let to = parts.length;
  while (from < to && parts[from]!.kind === 'begin') from++;
  while (to > from && parts[to - 1]!.kind === 'end') to--;
  const inner = parts.slice(from, to);
  if (inner.some(hasAnchor)) {
    throw new ConstraintError('In a regular expression ^ and $ may only stand at the beginning and the end.');
  }
  return { node: { kind: 'sequence', parts: inner }, begins: from > 0, ends: to < parts.length };
}

function hasAnchor(node: RegexNode): boolean {
  switch (node.kind) {
    case 'begin':
    case 'end':
      return true;
    case 'sequence':
      return node.parts.some(hasAnchor);
    case 'choice':
      return node.options.some(hasAnchor);
    case 'repeat':
      return hasAnchor(node.body);
    default:
      return false;
  }
}

/** A tree without anchors as an expression. */
export function nodeExpression(table: ExpressionTable, node: RegexNode, write: CharacterWriter): Expression {
  switch (node.kind) {
    case 'characters':
      return write(node.set);
    case 'sequence':
      return table.sequence(...node.parts.map((part) => nodeExpression(table, part, write)));
    case 'choice':
      return table.choice(...node.options.map((option) => nodeExpression(table, option, write)));
    case 'repeat':
      return table.repeat(nodeExpression(table, node.body, write), node.min, node.max);
    default:
      throw new ConstraintError('In a regular expression ^ and $ may only stand at the beginning and the end.');
  }
}
