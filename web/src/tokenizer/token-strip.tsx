/**
 * Tokens as coloured stretches of the text they stand for. Pointing at one, or moving to it by the arrow keys, tells what it is.
 */
import { memo } from 'preact/compat';
import { useRef, useState } from 'preact/hooks';
import type { PlacedToken, ShownToken } from '../api/inside.ts';
import { hexOf, hueAt, labelOf, textOf, withSigns } from '../ui/token-text.ts';

type Token = ShownToken | PlacedToken;

interface Props {
  readonly tokens: readonly Token[];
  /** What the tokens' places refer to; null where they have none. */
  readonly source: string | null;
  /** Whether white space is drawn as signs. */
  readonly shows: boolean;
  readonly label: string;
  /** Told the word around a token that is pressed. */
  readonly onChosen?: (word: string) => void;
}

// More would make typing slow; the counts are of all.
const MAX_SHOWN = 3000;

export function TokenStrip({ tokens, source, shows, label, onChosen }: Props) {
  const [at, setAt] = useState<number | null>(null);
  const strip = useRef<HTMLDivElement>(null);
  const shown = tokens.slice(0, MAX_SHOWN);
  const current = at === null ? null : (shown[at] ?? null);
  const focusOn = (place: number) => {
    const last = shown.length - 1;
    const next = Math.max(0, Math.min(last, place));
    setAt(next);
    strip.current?.querySelectorAll<HTMLElement>('.token')[next]?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const moves: Record<string, number> = {
      ArrowRight: (at ?? -1) + 1,
      ArrowLeft: (at ?? 1) - 1,
      Home: 0,
      End: shown.length - 1,
    };
    const place = moves[event.key];
    if (place === undefined) return;
    event.preventDefault();
    focusOn(place);
  };
  return (
    <div class="strip-box">
      <div
        class="strip"
        ref={strip}
        role="group"
        aria-label={label}
        onKeyDown={onKeyDown}
        onPointerOver={(event) => setAt(placeOf(event) ?? at)}
        onFocusIn={(event) => setAt(placeOf(event) ?? at)}
        onPointerLeave={() => setAt(null)}
        onClick={(event) => {
          const place = placeOf(event);
          if (place !== null) onChosen?.(wordAround(shown, place));
        }}
      >
        {shown.map((token, i) => (
          <TokenMark
            key={i}
            token={token}
            place={i}
            shows={shows}
            isCurrent={i === at}
            isTabStop={i === Math.min(at ?? 0, shown.length - 1)}
          />
        ))}
        {tokens.length > MAX_SHOWN && (
          <span class="hint"> and {(tokens.length - MAX_SHOWN).toLocaleString()} more</span>
        )}
      </div>
      <TokenFacts token={current} source={source} canMerge={onChosen !== undefined} />
    </div>
  );
}

/** Which token an event is about; one listener serves all of them. */
function placeOf({ target }: Event): number | null {
  const place = (target as Element).closest<HTMLElement>('.token')?.dataset['place'];
  return place === undefined ? null : Number(place);
}

interface MarkProps {
  readonly token: Token;
  readonly place: number;
  readonly shows: boolean;
  readonly isCurrent: boolean;
  readonly isTabStop: boolean;
}

const TokenMark = memo(function TokenMark({ token, place, shows, isCurrent, isTabStop }: MarkProps) {
  const text = textOf(token);
  const lineBreaks = text?.match(/\n/g)?.length ?? 0;
  const body = text === null ? hexOf(token) : shows ? withSigns(text) : text.replaceAll('\n', '');
  return (
    <>
      <button
        type="button"
        class="token"
        data-place={place}
        data-special={token.special}
        data-part={text === null}
        data-current={isCurrent}
        data-empty={body === ''}
        style={{ '--hue': hueAt(place) }}
        tabIndex={isTabStop ? 0 : -1}
        aria-label={`${labelOf(token)}, id ${token.id}`}
      >
        {body === '' ? '↵' : body}
      </button>
      {Array.from({ length: lineBreaks }, (_, i) => (
        <br key={i} />
      ))}
    </>
  );
});

function TokenFacts({ token, source, canMerge }: { token: Token | null; source: string | null; canMerge: boolean }) {
  if (token === null)
    return (
      <p class="token-facts hint">
        {canMerge
          ? 'Point at a token to see what it is; press it to see how its word is merged.'
          : 'Point at a token to see what it is.'}
      </p>
    );
  const { bytes, id, special } = token;
  return (
    <p class="token-facts">
      <code class="token-label">{labelOf(token)}</code>
      <span>
        id <b>{id}</b>
      </span>
      <span>
        {bytes.length === 1 ? '1 byte' : `${bytes.length} bytes`} <code>{hexOf(token)}</code>
      </span>
      {special && <span>special</span>}
      {textOf(token) === null && (
        <span>
          part of {source !== null && 'start' in token ? `“${source.slice(token.start, token.end)}”` : 'a character'}
        </span>
      )}
    </p>
  );
}

/** The word that a token is in: its neighbours up to white space. */
function wordAround(tokens: readonly Token[], at: number): string {
  const texts = tokens.map((token) => (token.special ? ' ' : token.bytes));
  const isBreak = (place: number) => {
    const bytes = texts[place];
    return bytes === undefined || bytes === ' ' || /^\s/.test(String.fromCharCode(...(bytes as number[])));
  };
  let [first, last] = [at, at];
  while (first > 0 && !isBreak(first)) first--;
  while (!isBreak(last + 1)) last++;
  const bytes = tokens.slice(first, last + 1).flatMap((token) => (token.special ? [] : token.bytes));
  return new TextDecoder().decode(Uint8Array.from(bytes));
}

/** How many there are, and how long they are. */
export function Counts({ tokens, against = null }: { tokens: readonly Token[]; against?: number | null }) {
  const plain = tokens.filter(({ special }) => !special);
  const bytes = plain.flatMap((token) => token.bytes);
  const characters = Array.from(new TextDecoder().decode(Uint8Array.from(bytes))).length;
  const share = against === null || against === 0 ? null : tokens.length / against - 1;
  return (
    <dl class="counts">
      <Count label="tokens" value={tokens.length.toLocaleString()} />
      <Count label="characters" value={characters.toLocaleString()} />
      <Count label="bytes" value={bytes.length.toLocaleString()} />
      <Count label="bytes a token" value={plain.length === 0 ? '–' : (bytes.length / plain.length).toFixed(2)} />
      {share !== null && (
        <Count label="against the first" value={`${share < 0 ? '−' : '+'}${Math.abs(100 * share).toFixed(0)} %`} />
      )}
    </dl>
  );
}

function Count({ label, value }: { label: string; value: string }) {
  return (
    <div>
      <dd>{value}</dd>
      <dt>{label}</dt>
    </div>
  );
}
