/** Starts the page. */
import type { HistoryView } from '../../model/admin-api.js';
import { get, signOut } from './api-client.js';
import { App, type AppActions } from './app.js';
import { Connection } from './connection.js';
import { applyEvent } from './live-data.js';
import { currentRoute, followLinks } from './navigation.js';
import { withNewest, type PageState, Store } from './store.js';
import { h, render } from './preact.js';
import { chooseTheme, nextTheme, theme } from './theme-choice.js';

const TITLES: Readonly<Record<string, string>> = {
  overview: 'Overview',
  sessions: 'Sessions',
  drivers: 'Drivers',
  pools: 'Pools',
  envoys: 'Envoys',
  policy: 'Policy',
  history: 'History of the policy',
  explain: 'Explain a request',
  activity: 'Activity',
};

const root = document.getElementById('app');
const store = new Store(
  {
    route: currentRoute(),
    connection: { kind: 'connecting' },
    me: undefined,
    data: undefined,
    past: undefined,
    theme: theme(),
    nowMs: Date.now(),
    action: undefined,
    outcome: '',
  },
  draw,
);

const actions: AppActions = {
  confirm: (action) => store.set({ action, outcome: '' }),
  close: (outcome) => store.set({ action: undefined, outcome }),
  nextTheme() {
    chooseTheme(nextTheme(store.state.theme));
    store.set({ theme: theme() });
  },
  signOut() {
    void signOut().then(() => location.assign('/auth/signed-out'));
  },
};

let drawn = false;
function draw(state: PageState): void {
  if (!root) return;
  // What stands there until the first time is not ours to compare with.
  if (!drawn) root.replaceChildren();
  drawn = true;
  const { view, id } = state.route;
  document.title = `${TITLES[view] ?? id} – Spark Connect gateway`;
  render(<App state={state} actions={actions} />, root);
}

const connection = new Connection({
  event(name, json) {
    const data = applyEvent(store.state.data, name, json);
    const { past } = store.state;
    store.set({
      data,
      nowMs: Date.now(),
      ...(past && data ? { past: withNewest(past, data) } : {}),
    });
    if (name === 'snapshot') void readPast();
  },
  state: (state) => store.set({ connection: state }),
  me: (me) => store.set({ me }),
});

async function readPast(): Promise<void> {
  try {
    store.set({ past: await get<HistoryView>('history') });
  } catch {
    // The next snapshot asks again; without it there are no charts.
  }
}

followLinks((moved, place) => {
  store.set({ route: currentRoute(), outcome: '' });
  if (!moved) return;
  requestAnimationFrame(() => {
    document.getElementById('title')?.focus({ preventScroll: true });
    scrollWhenThere(place);
  });
});

/** What a view asks for when it opens is there some frames later only. */
function scrollWhenThere(place: number, frames = 60): void {
  scrollTo(0, place);
  if (Math.abs(scrollY - place) <= 1 || frames === 0) return;
  requestAnimationFrame(() => scrollWhenThere(place, frames - 1));
}

document.addEventListener('keydown', (event) => {
  const inField =
    event.target instanceof Element && event.target.matches('input, select, textarea');
  if (event.key !== '/' || inField || event.ctrlKey || event.metaKey || event.altKey) return;
  const filter = document.getElementById('filter');
  if (!filter) return;
  event.preventDefault();
  filter.focus();
});

setInterval(() => store.set({ nowMs: Date.now() }), 1_000);
draw(store.state);
void connection.open();
