/**
 * A lower triangle of shares as a picture with token labels on both sides; one row is chosen by pointer or arrow keys.
 */
import { useEffect, useRef } from 'preact/hooks';
import { scheme } from '../theme.ts';

interface Props {
  readonly labels: readonly string[];
  /** Row i has i + 1 shares. */
  readonly rows: readonly (readonly number[])[];
  readonly row: number;
  readonly onRow: (row: number) => void;
}

const MARGIN_PX = 76; // of the labels
const FONT_PX = 11;
const MIN_LABELLED_CELL_PX = 9;
const MAX_LABEL_CHARS = 10;

export function HeatMap({ labels, rows, row, onRow }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const colours = scheme.value;
  useEffect(() => {
    const element = canvas.current!;
    const draw = () => paint(element, labels, rows, row);
    const observer = new ResizeObserver(draw);
    observer.observe(element);
    draw();
    return () => observer.disconnect();
  }, [labels, rows, row, colours]);
  const rowAt = (event: PointerEvent) => {
    const { height } = canvas.current!.getBoundingClientRect();
    const cell = (height - MARGIN_PX) / rows.length;
    const at = Math.floor((event.offsetY - MARGIN_PX) / cell);
    if (at >= 0 && at < rows.length) onRow(at);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const moves: Record<string, number> = { ArrowDown: row + 1, ArrowUp: row - 1, Home: 0, End: rows.length - 1 };
    const next = moves[event.key];
    if (next === undefined) return;
    event.preventDefault();
    onRow(Math.max(0, Math.min(rows.length - 1, next)));
  };
  return (
    <canvas
      ref={canvas}
      class="heat-map"
      role="img"
      aria-label={`Attention of ${rows.length} tokens; arrow keys choose the token that is described below`}
      tabIndex={0}
      onPointerMove={rowAt}
      onPointerDown={rowAt}
      onKeyDown={onKeyDown}
    />
  );
}

function paint(canvas: HTMLCanvasElement, labels: readonly string[], rows: Props['rows'], chosen: number): void {
  const side = canvas.clientWidth;
  const density = devicePixelRatio;
  canvas.style.height = `${side}px`;
  canvas.width = side * density;
  canvas.height = side * density;
  const pen = canvas.getContext('2d')!;
  const style = getComputedStyle(canvas);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const cell = (side - MARGIN_PX) / rows.length;
  pen.scale(density, density);
  pen.fillStyle = colour('--sunken');
  pen.fillRect(MARGIN_PX, MARGIN_PX, side - MARGIN_PX, side - MARGIN_PX);
  pen.fillStyle = colour('--accent');
  for (const [i, shares] of rows.entries()) {
    for (const [j, share] of shares.entries()) {
      pen.globalAlpha = Math.sqrt(share); // small shares would not be seen
      pen.fillRect(MARGIN_PX + j * cell, MARGIN_PX + i * cell, Math.max(1, cell - 0.5), Math.max(1, cell - 0.5));
    }
  }
  pen.globalAlpha = 1;
  pen.strokeStyle = colour('--ink');
  pen.strokeRect(MARGIN_PX, MARGIN_PX + chosen * cell, (chosen + 1) * cell, cell);
  paintLabels(pen, labels, cell, chosen, {
    font: `${FONT_PX}px ${colour('--mono')}`,
    plain: colour('--ink-3'),
    strong: colour('--ink'),
  });
}

/** Beside each row, and above each column on its side; where cells are too small, of the chosen row only. */
function paintLabels(
  pen: CanvasRenderingContext2D,
  labels: readonly string[],
  cell: number,
  chosen: number,
  look: { font: string; plain: string; strong: string },
): void {
  pen.font = look.font;
  pen.textBaseline = 'middle';
  for (const [i, label] of labels.entries()) {
    if (cell < MIN_LABELLED_CELL_PX && i !== chosen) continue;
    const short = label.length > MAX_LABEL_CHARS ? `${label.slice(0, MAX_LABEL_CHARS - 1)}…` : label;
    const middle = MARGIN_PX + (i + 0.5) * cell;
    pen.fillStyle = i === chosen ? look.strong : look.plain;
    pen.textAlign = 'right';
    pen.fillText(short, MARGIN_PX - 6, middle);
    pen.save();
    pen.translate(middle, MARGIN_PX - 6);
    pen.rotate(-Math.PI / 2);
    pen.textAlign = 'left';
    pen.fillText(short, 0, 0);
    pen.restore();
  }
}
