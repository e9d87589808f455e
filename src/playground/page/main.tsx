/** Starts the page. */
import { render } from 'preact';
import { focusFilterBySlash, followLinks, moveTo } from '../../lib/page/navigation.js';
import { ApiError, messageOf, signOut } from '../../lib/page/request.js';
import { Store } from '../../lib/page/store.js';
import { chooseTheme, nextTheme, theme } from '../../lib/page/theme-choice.js';
import { api, placesOf } from './api.js';
import { App, type AppActions } from './app.js';
import { JobFollower } from './job-follower.js';
import { type Draft, Keeping } from './keeping.js';
import type { PageState } from './page-state.js';
import { jobPath, type Route, routeOf } from './route.js';
import { SubmissionKeys, submissionOf } from './submission.js';

const START_AGAIN_MS = 5_000;
const SAID_FOR_MS = 8_000;

const root = document.getElementById('app');
const nonce = document.querySelector<HTMLScriptElement>('script[nonce]')?.nonce ?? '';
const keys = new SubmissionKeys();
let follower: JobFollower | undefined;
let drawn = false;
let sayingTimer = 0;

const store = new Store<PageState>(
  {
    route: currentRoute(),
    theme: theme(),
    nowMs: Date.now(),
    start: undefined,
    startFailure: undefined,
    signedOut: false,
    job: undefined,
    submitting: false,
    refusal: undefined,
    outcome: '',
  },
  draw,
);

const actions: AppActions = {
  run: (draft) => void run(draft),
  refuse: (refusal) => store.set({ refusal, outcome: '' }),
  stop: (job) => void stop(job),
  check: () => void follower?.check(),
  say,
  signedOut,
  nextTheme() {
    chooseTheme(nextTheme(store.state.theme));
    store.set({ theme: theme() });
  },
  signOut() {
    void signOut().then(() => location.assign('/auth/signed-out'));
  },
};

function draw(state: PageState): void {
  if (!root) return;
  // What stands there until the first time is not ours to compare with.
  if (!drawn) root.replaceChildren();
  drawn = true;
  document.title = `${titleOf(state)}Spark Playground`;
  render(<App state={state} actions={actions} nonce={nonce} />, root);
}

/** Says what was done, for as long as it takes to read it. */
function say(outcome: string): void {
  store.set({ outcome });
  clearTimeout(sayingTimer);
  sayingTimer = setTimeout(() => store.set({ outcome: '' }), SAID_FOR_MS);
}

function titleOf({ route, job }: PageState): string {
  if (route.view === 'jobs') return 'Your jobs – ';
  if (route.view === 'unknown') return 'Nothing is here – ';
  return job?.status ? `${job.status.state} ${job.status.job_name} – ` : '';
}

function currentRoute(): Route {
  return routeOf(location.pathname, location.search);
}

async function start(): Promise<void> {
  try {
    const [me, choices, samples] = await Promise.all([api.me(), api.choices(), api.samples()]);
    const { issuer, subject } = me.principal;
    const keeping = new Keeping(localStorage, `${issuer} ${subject}`);
    store.set({
      start: { me, choices, samples, keeping },
      startFailure: undefined,
      signedOut: false,
    });
    followJob();
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) {
      signedOut();
      return;
    }
    store.set({ startFailure: messageOf(error) });
    setTimeout(() => void start(), START_AGAIN_MS);
  }
}

function signedOut(): void {
  store.set({ signedOut: true, submitting: false });
}

/** Follows the job that the address names, and no other. */
function followJob(): void {
  const { route, job, start: started } = store.state;
  const wanted = route.view === 'workbench' ? route.job : job?.id;
  if (!started || (follower && job?.id === wanted)) return;
  follower?.stop();
  follower = undefined;
  if (wanted === undefined) {
    store.set({ job: undefined });
    return;
  }
  follower = new JobFollower(wanted, { change: (next) => store.set({ job: next }), signedOut });
  follower.start();
}

async function run(draft: Draft): Promise<void> {
  const started = store.state.start;
  if (!started) return;
  const body = submissionOf(draft, started.choices);
  const key = keys.keyFor(body);
  store.set({ submitting: true, refusal: undefined, outcome: '' });
  try {
    const { job_id: job, duplicate } = await withProof((token) => api.run(body, key, token));
    keys.answered();
    started.keeping.keepRun({ job, manifest: draft.manifest });
    store.set({ submitting: false });
    say(duplicate ? 'This job had been submitted already.' : 'The job is submitted.');
    moveTo(jobPath(job));
  } catch (error) {
    const { status, body: said } =
      error instanceof ApiError ? error : { status: 0, body: undefined };
    if (status === 401) {
      signedOut();
      return;
    }
    if (status >= 400 && status < 500 && status !== 429) keys.answered();
    store.set({
      submitting: false,
      refusal: { message: messageOf(error), places: placesOf(said), by: 'server' },
    });
  }
}

async function stop(job: string): Promise<void> {
  store.set({ outcome: '' });
  try {
    const { success } = await withProof((token) => api.cancel(job, token));
    say(success ? 'The job is being stopped.' : 'The job had ended before.');
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) signedOut();
    else say(`It is not stopped: ${messageOf(error)}`);
  }
  await follower?.check();
}

/** A sign-in in another window changes what proves that a request comes from here. */
async function withProof<T>(ask: (forgeryToken: string) => Promise<T>): Promise<T> {
  try {
    return await ask(store.state.start?.me.forgery_token ?? '');
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== 'CROSS_SITE_REQUEST') throw error;
    await readMe();
    return ask(store.state.start?.me.forgery_token ?? '');
  }
}

/** Whether the same person is signed in. */
async function readMe(): Promise<boolean> {
  const { start: started } = store.state;
  if (!started) return false;
  const me = await api.me();
  const { principal } = started.me;
  if (me.principal.subject !== principal.subject || me.principal.issuer !== principal.issuer) {
    location.reload();
    return false;
  }
  store.set({ start: { ...started, me } });
  return true;
}

/** Somebody may have signed in again in another window. */
async function comeBack(): Promise<void> {
  if (!store.state.signedOut) return;
  if (!store.state.start) {
    await start();
    return;
  }
  try {
    if (!(await readMe())) return;
    store.set({ signedOut: false });
    follower?.stop();
    follower = undefined;
    followJob();
  } catch {
    // The banner stays.
  }
}

followLinks(() => {
  store.set({ route: currentRoute(), refusal: undefined });
  followJob();
});
focusFilterBySlash();
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') void comeBack();
});
addEventListener('focus', () => void comeBack());
setInterval(() => store.set({ nowMs: Date.now() }), 1_000);
draw(store.state);
void start();
