/** Links within a page change its view without loading it again. */

/** Where each entry of the history was scrolled to when it was left. */
const places = new Map<string, number>();
let entry = '';
let changed: () => void = () => undefined;

/** @param onChange the address has changed: another view, or the same one with another filter */
export function followLinks(onChange: () => void): void {
  changed = onChange;
  history.scrollRestoration = 'manual';
  begin(idOf(history.state) ?? newId());
  addEventListener('popstate', (event) => {
    places.set(entry, scrollY);
    begin(idOf(event.state) ?? newId());
    arrive(places.get(entry) ?? 0);
  });
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!link || link.origin !== location.origin || link.target !== '' || link.download) return;
    if (/^\/(api|auth|assets|docs)(\/|$)/.test(link.pathname) || link.hash !== '') return;
    event.preventDefault();
    if (link.href !== location.href) enter(link.href);
    arrive(0);
  });
}

/** Shows what a link to this address would show, and leaves the keyboard and the place where they are. */
export function moveTo(path: string): void {
  enter(path);
  changed();
}

/** Puts the view's filter, order and page into the address, so that they can be shared. */
export function setQuery(change: Readonly<Record<string, string>>): void {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(change)) {
    if (value === '') query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  history.replaceState({ entry }, '', text === '' ? location.pathname : `?${text}`);
  changed();
}

/** The key `/` leads to the view's filter, if it has one. */
export function focusFilterBySlash(): void {
  document.addEventListener('keydown', (event) => {
    const inField =
      event.target instanceof Element &&
      event.target.matches('input, select, textarea, [contenteditable="true"]');
    if (event.key !== '/' || inField || event.ctrlKey || event.metaKey || event.altKey) return;
    const filter = document.getElementById('filter');
    if (!filter) return;
    event.preventDefault();
    filter.focus();
  });
}

function enter(href: string): void {
  places.set(entry, scrollY);
  entry = newId();
  history.pushState({ entry }, '', href);
}

/** The keyboard goes on from the title, and the view is as far down as it was left. */
function arrive(place: number): void {
  changed();
  requestAnimationFrame(() => {
    document.getElementById('title')?.focus({ preventScroll: true });
    scrollWhenThere(place);
  });
}

/** What a view asks for when it opens is there some frames later only. */
function scrollWhenThere(place: number, frames = 60): void {
  scrollTo(0, place);
  if (Math.abs(scrollY - place) <= 1 || frames === 0) return;
  requestAnimationFrame(() => scrollWhenThere(place, frames - 1));
}

function begin(id: string): void {
  entry = id;
  history.replaceState({ entry }, '');
}

function newId(): string {
  return `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
}

function idOf(state: unknown): string | undefined {
  if (typeof state !== 'object' || state === null || !('entry' in state)) return undefined;
  return typeof state.entry === 'string' ? state.entry : undefined;
}
