/** Links within the console change the view without loading the page. */
import { type Route, routeOf } from './route.js';

export function currentRoute(): Route {
  return routeOf(location.pathname, location.search);
}

/** @param onChange `moved`: another view is shown, not the same one with another filter */
export function followLinks(onChange: (moved: boolean) => void): void {
  addEventListener('popstate', () => onChange(true));
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!link || link.origin !== location.origin || link.target !== '') return;
    if (/^\/(api|auth|assets)\//.test(link.pathname) || link.hash !== '') return;
    event.preventDefault();
    if (link.href !== location.href) history.pushState(null, '', link.href);
    onChange(true);
  });
  listener = onChange;
}

let listener: (moved: boolean) => void = () => undefined;

/** Puts the view's filter, order and page into the address, so that they can be shared. */
export function setQuery(change: Readonly<Record<string, string>>): void {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(change)) {
    if (value === '') query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  history.replaceState(null, '', text === '' ? location.pathname : `?${text}`);
  listener(false);
}
