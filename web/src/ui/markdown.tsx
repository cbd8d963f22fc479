/**
 * Text of a model as markdown. What it says can never become markup of the page: HTML and images stay text, and everything passes the
 * sanitiser besides; links open apart. Rendered block by block, so that a growing reply only touches its last block.
 */
import createDOMPurify from 'dompurify';
import { Marked, type Token, type TokensList } from 'marked';
import { memo } from 'preact/compat';
import { useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { copyText } from './copy-text.ts';

const marked = new Marked({
  gfm: true,
  renderer: {
    html: ({ text, block }) => (block ? `<p>${escaped(text)}</p>` : escaped(text)),
    image: ({ raw }) => escaped(raw),
  },
});

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

const purify = createDOMPurify(window);
purify.addHook('afterSanitizeAttributes', (node) => {
  if (node.tagName !== 'CODE') node.removeAttribute('class'); // or text could dress up as a part of the page
  if (node.tagName !== 'A') return;
  node.setAttribute('rel', 'noopener noreferrer nofollow');
  node.setAttribute('target', '_blank');
});

const ALLOWED_TAGS =
  'p br hr h1 h2 h3 h4 h5 h6 strong em del code pre blockquote ul ol li table thead tbody tr th td a sup sub kbd'.split(
    ' ',
  );
const ALLOWED_ATTR = ['href', 'title', 'start', 'align', 'class'];

/** Sanitised nodes of some markdown. */
function fragmentOf(html: string): DocumentFragment {
  return purify.sanitize(html, {
    ALLOWED_TAGS,
    ALLOWED_ATTR,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|#)/i,
    RETURN_DOM_FRAGMENT: true,
  });
}

/** A reply as it is meant to be read. */
export function Markdown({ text }: { text: string }) {
  const { blocks, links } = useMemo(() => {
    const list = marked.lexer(text);
    return { blocks: list.filter(({ type }) => type !== 'space'), links: list.links };
  }, [text]);
  const linkKey = Object.keys(links).length === 0 ? '' : JSON.stringify(links);
  return (
    <div class="prose">
      {blocks.map((block, i) => (
        <Block key={i} block={block} links={links} raw={block.raw + linkKey} />
      ))}
    </div>
  );
}

const Block = memo(
  function Block({ block, links }: { block: Token; links: TokensList['links']; raw: string }) {
    const element = useRef<HTMLDivElement>(null);
    const isCode = block.type === 'code';
    useLayoutEffect(() => {
      const list = Object.assign([block], { links }) as TokensList;
      element.current?.replaceChildren(fragmentOf(marked.parser(list)));
    });
    return isCode ? (
      <div class="code-block">
        <div class="code-head">
          <span>{String(block['lang'] ?? '').trim() || 'text'}</span>
          <CopyCode text={String(block['text'])} />
        </div>
        <div ref={element} tabIndex={0} role="region" aria-label="Code" />
      </div>
    ) : (
      <div ref={element} class="block" />
    );
  },
  (before, after) => before.raw === after.raw,
);

function CopyCode({ text }: { text: string }) {
  return (
    <button class="link" type="button" onClick={(event) => copyText(text, event.currentTarget)}>
      Copy code
    </button>
  );
}
