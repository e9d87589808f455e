/** Starts the page. */
import type { HistoryView } from '../../model/admin-api.js';
import { signOut } from '../../lib/page/request.js';
import { get } from './api-client.js';
import { App, type AppActions } from './app.js';
import { Connection } from './connection.js';
import { applyEvent } from './live-data.js';
import { focusFilterBySlash, followLinks } from '../../lib/page/navigation.js';
import { Store } from '../../lib/page/store.js';
import { routeOf } from './route.js';
import { withNewest, type PageState } from './page-state.js';
import { render } from 'preact';
import { chooseTheme, nextTheme, theme } from '../../lib/page/theme-choice.js';

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
const store = new Store<PageState>(
  {
    route: routeOf(location.pathname, location.search),
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

let openings = 0;
const actions: AppActions = {
  confirm(target) {
    openings += 1;
    store.set({ action: { target, opening: openings }, outcome: '' });
  },
  close({ opening }, outcome) {
    // A dialog tells that it is closed a while after; the next one may be open by then.
    if (store.state.action?.opening === opening) store.set({ action: undefined, outcome });
  },
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

followLinks(() => {
  store.set({ route: routeOf(location.pathname, location.search), outcome: '' });
});
focusFilterBySlash();
setInterval(() => store.set({ nowMs: Date.now() }), 1_000);
draw(store.state);
void connection.open();
