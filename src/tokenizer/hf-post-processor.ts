/**
 * `post_processor` of Hugging Face's tokenizer.json: which special tokens it puts around a text.
 */
import { z } from 'zod';
import { checkPart, unsupported, type TypedJson } from './hf-schema.ts';

/** Ids put before and after a text, null for none. */
export type Frame = { prefixId: number | null; suffixId: number | null };

const sequence = z.object({ processors: z.array(z.looseObject({ type: z.string() })) });
const template = z.object({
  single: z.array(
    z.union([
      z.object({ SpecialToken: z.object({ id: z.string() }) }),
      z.object({ Sequence: z.object({ id: z.string() }) }),
    ]),
  ),
  special_tokens: z.record(z.string(), z.object({ ids: z.array(z.number().int().nonnegative()) })),
});

/** What the post-processor puts around a text: nothing, or at most one token on each side. */
export function readFrame(json: TypedJson | null | undefined, path = 'post_processor'): Frame {
  const frame: Frame = { prefixId: null, suffixId: null };
  switch (json?.type) {
    case undefined:
    case 'ByteLevel': // changes offsets only
      return frame;
    case 'TemplateProcessing':
      return readTemplate(json, path);
    case 'Sequence':
      for (const [i, part] of checkPart(sequence, json, path).processors.entries()) {
        const { prefixId, suffixId } = readFrame(part, `${path}.processors.${i}`);
        frame.prefixId ??= prefixId;
        frame.suffixId ??= suffixId;
      }
      return frame;
    default:
      throw unsupported(`${path}.type`, `is ${JSON.stringify(json?.type)}`);
  }
}

function readTemplate(json: TypedJson | null | undefined, path: string): Frame {
  const { single, special_tokens } = checkPart(template, json, path);
  const idOf = (piece: (typeof single)[number] | undefined): number | null => {
    if (piece === undefined || !('SpecialToken' in piece)) return null;
    const ids = special_tokens[piece.SpecialToken.id]?.ids;
    if (ids?.length !== 1) throw unsupported(`${path}.special_tokens`, `has no single id for ${piece.SpecialToken.id}`);
    return ids[0]!;
  };
  const at = single.findIndex((piece) => 'Sequence' in piece);
  if (at < 0 || at > 1 || single.length - at > 2)
    throw unsupported(`${path}.single`, 'puts more than one token on a side');
  return { prefixId: at === 1 ? idOf(single[0]) : null, suffixId: idOf(single[at + 1]) };
}
