/**
 * The page's icons, drawn on a grid of 20. Decorative: the control that holds one carries the name.
 */

const PATHS = {
  chat: 'M4 4.500h12a1.500 1.500 0 0 1 1.500 1.500v6.500a1.500 1.500 0 0 1-1.500 1.500H9l-4 3v-3H4a1.500 1.500 0 0 1-1.500-1.500V6A1.500 1.500 0 0 1 4 4.500Z',
  tokens: 'M2.500 7h4v6h-4zM8 7h2.500v6H8zM12 7h5.500v6H12z',
  inside:
    'M3 10s2.500-5 7-5 7 5 7 5-2.500 5-7 5-7-5-7-5ZM10 12.200a2.200 2.200 0 1 0 0-4.400 2.200 2.200 0 0 0 0 4.400Z',
  models: 'M10 2.800 16.500 6.300v7.400L10 17.200 3.500 13.700V6.300zM3.500 6.300 10 10l6.500-3.700M10 10v7.200',
  plus: 'M10 4v12M4 10h12',
  send: 'M10 16V4.500M5 9l5-5 5 5',
  stop: 'M6 6h8v8H6z',
  copy: 'M7 7h9v9H7zM13 7V4H4v9h3',
  check: 'm4.500 10.500 3.500 3.500 7.500-8',
  edit: 'M4 16h3l8.500-8.500-3-3L4 13zM11 6l3 3',
  again: 'M15.500 8A6 6 0 1 0 16 11M16 4v4h-4',
  left: 'm12 5-5 5 5 5',
  right: 'm8 5 5 5-5 5',
  close: 'm5 5 10 10M15 5 5 15',
  trash: 'M4 6h12M8 6V4h4v2M5.500 6l.8 10.500h7.400L14.500 6',
  sliders: 'M3 6h8M15 6h2M3 14h2M9 14h8M13 4v4M7 12v4',
  list: 'M3 5h14M3 10h14M3 15h9',
  sun: 'M10 13.500a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7ZM10 2v1.500M10 16.500V18M2 10h1.500M16.500 10H18M4.300 4.300l1.100 1.100M14.600 14.600l1.100 1.100M4.300 15.700l1.100-1.100M14.600 5.400l1.100-1.100',
  moon: 'M16.500 11.800A6.800 6.800 0 0 1 8.200 3.500a6.800 6.800 0 1 0 8.300 8.300Z',
  keys: 'M3 5.500h14v9H3zM6 8.500h.01M10 8.500h.01M14 8.500h.01M7 11.800h6',
  search: 'M9 14.500a5.500 5.500 0 1 0 0-11 5.500 5.500 0 0 0 0 11ZM13 13l4 4',
  download: 'M10 3v9.500M6 9l4 4 4-4M4 16.500h12',
  upload: 'M10 13V3.500M6 7l4-4 4 4M4 16.500h12',
  more: 'M5 10h.01M10 10h.01M15 10h.01',
} as const;

export type IconName = keyof typeof PATHS;

/** One icon, as large as the text around it asks. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
