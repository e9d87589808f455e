/** Links within the console change the view without loading the page. */
import { type Route, routeOf } from './route.js';

export function currentRoute(): Route {
  return routeOf(location.pathname, location.search);
}

/** Where each entry of the history was scrolled to when it was left. */
const places = new Map<string, number>();
let entry = '';

/**
 * @param onChange `moved`: another view is shown, not the same one with another filter; `place`: how far
 *   down it is to be, for one that was shown before
 */
export function followLinks(onChange: (moved: boolean, place: number) => void): void {
  history.scrollRestoration = 'manual';
  begin(idOf(history.state) ?? newId());
  addEventListener('popstate', (event) => {
    places.set(entry, scrollY);
    begin(idOf(event.state) ?? newId());
    onChange(true, places.get(entry) ?? 0);
  });
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!link || link.origin !== location.origin || link.target !== '') return;
    if (/^\/(api|auth|assets)\//.test(link.pathname) || link.hash !== '') return;
    event.preventDefault();
    if (link.href !== location.href) {
      places.set(entry, scrollY);
      entry = newId();
      history.pushState({ entry }, '', link.href);
    }
    onChange(true, 0);
  });
  listener = (moved) => onChange(moved, 0);
}

let listener: (moved: boolean) => void = () => undefined;

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

/** Puts the view's filter, order and page into the address, so that they can be shared. */
export function setQuery(change: Readonly<Record<string, string>>): void {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(change)) {
    if (value === '') query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  history.replaceState({ entry }, '', text === '' ? location.pathname : `?${text}`);
  listener(false);
}
