/** What `drain`, `undrain` and `evict` share: which drivers are meant, and what becomes of them. */
import type { DriverAnswer, DriverDetailView, DriverView } from '../model/admin-api.js';
import type { DriverPhase } from '../model/driver.js';
import { GatewayError } from '../model/errors.js';
import type { OnlineContext, OptionDescription } from './command.js';
import type { Shown } from './render.js';

const WAIT_POLL_MS = 1_000;

/** Drivers that belong together; all that are given must hold. */
export const chosenBy: readonly OptionDescription[] = [
  { name: 'node', value: 'node', about: 'All drivers on this Kubernetes node.' },
  { name: 'namespace', short: 'n', value: 'namespace', about: 'All drivers in this namespace.' },
  {
    name: 'template',
    value: 'template',
    about: 'All drivers of the template (variant) of this name.',
  },
  { name: 'outdated', about: 'All drivers whose template has changed since they were made.' },
];

export const dryRun: OptionDescription = {
  name: 'dry-run',
  about: 'Says which drivers are meant, and does nothing.',
};

/** One after the other: what one of them is refused does not keep the others. */
export async function eachChosen(
  context: OnlineContext,
  verb: 'drain' | 'undrain',
  body: object,
): Promise<Shown> {
  const all = await context.client.get<readonly DriverView[]>('drivers');
  const chosen = all.filter((driver) => isChosen(driver, context.options, verb));
  if (context.options.has('dry-run')) {
    return wouldBe(
      verb === 'drain' ? 'drained' : 'taken back',
      chosen.map(({ uid }) => uid),
    );
  }
  const answers: { answer: DriverAnswer; readonly managed: boolean }[] = [];
  const refused: string[] = [];
  for (const { uid, managed } of chosen) {
    try {
      const path = `drivers/${encodeURIComponent(uid)}/${verb}`;
      answers.push({ answer: await context.client.post<DriverAnswer>(path, body), managed });
    } catch (error) {
      if (!(error instanceof GatewayError) || error.code === 'ADMINISTRATION_REFUSED') throw error;
      refused.push(`Driver ${uid}: ${error.message}\n`);
    }
  }
  const told = (each: DriverAnswer, managed: boolean) =>
    verb === 'drain' ? sentence(each, managed) : undrained(each);
  if (context.options.has('wait')) {
    for (const { answer, managed } of answers) {
      context.say(told(answer, managed).trimEnd());
    }
    for (const each of answers) each.answer = await over(context, each.answer, each.managed);
  }
  const lines = [...answers.map(({ answer, managed }) => told(answer, managed)), ...refused];
  return {
    value: answers.map(({ answer }) => answer),
    names: answers.map(({ answer }) => `driver/${answer.uid}`),
    differs: refused.length > 0,
    people: () => lines.join('') || 'No driver is meant.\n',
  };
}

function isChosen(
  driver: DriverView,
  options: ReadonlyMap<string, string>,
  verb: 'drain' | 'undrain',
): boolean {
  const { phase, node, namespace, variant, outdated = false } = driver;
  const phases = verb === 'drain' ? DRAINABLE : UNDRAINABLE;
  const fits = (name: string, value: string | undefined) =>
    !options.has(name) || options.get(name) === value;
  return (
    phases.includes(phase) &&
    fits('node', node) &&
    fits('namespace', namespace) &&
    fits('template', variant) &&
    (!options.has('outdated') || outdated)
  );
}

const DRAINABLE: readonly DriverPhase[] = ['warming', 'available', 'in_use', 'draining'];
const UNDRAINABLE: readonly DriverPhase[] = ['draining'];

export function wouldBe(what: string, uids: readonly string[]): Shown {
  return {
    value: uids,
    names: uids.map((uid) => `driver/${uid}`),
    people: () =>
      uids.map((uid) => `Driver ${uid} would be ${what}.\n`).join('') || 'No driver is meant.\n',
  };
}

export function undrained({ uid, sessions }: DriverAnswer): string {
  return `Driver ${uid} takes new sessions again; it has ${sessions === 1 ? '1 session' : `${sessions} sessions`}.\n`;
}

export async function afterwards(
  context: OnlineContext,
  answer: DriverAnswer,
  managed: boolean,
): Promise<Shown> {
  const waits = context.options.has('wait');
  if (!waits) return { value: answer, people: () => sentence(answer, managed) };
  context.say(sentence(answer, managed).trimEnd());
  const last = await over(context, answer, managed);
  return { value: last, people: () => sentence(last, managed) };
}

/** Resolves when the driver is gone; one that someone else runs, when it has no session. */
async function over(
  context: OnlineContext,
  before: DriverAnswer,
  managed: boolean,
): Promise<DriverAnswer> {
  const isOver = ({ phase, sessions }: DriverAnswer) =>
    phase === 'gone' || (!managed && sessions === 0);
  let last = before;
  while (!isOver(last)) {
    await context.pause(WAIT_POLL_MS);
    last = await look(context, last);
  }
  return last;
}

async function look({ client }: OnlineContext, last: DriverAnswer): Promise<DriverAnswer> {
  try {
    const found = await client.get<DriverDetailView>(`drivers/${encodeURIComponent(last.uid)}`);
    return { ...last, phase: found.phase, sessions: found.sessions.length };
  } catch (error) {
    // Its record is dropped once nothing of it needs to be remembered.
    if (error instanceof GatewayError && error.code === 'DRIVER_UNKNOWN') {
      return { ...last, phase: 'gone', sessions: 0 };
    }
    throw error;
  }
}

function sentence({ uid, phase, sessions, drainDeadline }: DriverAnswer, managed: boolean): string {
  if (phase === 'gone') return `Driver ${uid} has ended.\n`;
  if (sessions === 0) {
    return managed
      ? `Driver ${uid} has no session and ends.\n`
      : `Driver ${uid} has no session and takes no new one; it is not this gateway's to end.\n`;
  }
  const left = sessions === 1 ? '1 session' : `${sessions} sessions`;
  const last = managed ? 'ends when the last one leaves' : "is not this gateway's to end";
  const until = drainDeadline === undefined ? last : `ends them at ${drainDeadline}`;
  return `Driver ${uid} takes no new session; it has ${left} and ${until}.\n`;
}
