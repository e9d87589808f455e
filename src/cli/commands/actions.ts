/** `drain`, `evict`, `release`. */
import type { DriverAnswer, DriverDetailView, SessionAnswer } from '../../model/admin-api.js';
import { GatewayError } from '../../model/errors.js';
import { duration } from '../../lib/yaml/text-types.js';
import type { Shown } from '../render.js';
import type { OnlineContext } from '../admin-client.js';
import { driverNamed } from './drivers.js';
import { ownSessions, sessionNamed } from './sessions.js';

const WAIT_POLL_MS = 1_000;

export async function drain(context: OnlineContext): Promise<Shown> {
  const written = context.options.get('deadline');
  const deadline = written === undefined ? undefined : deadlineOf(written, context.now());
  const { uid, managed } = await driverNamed(context, context.operands[0] ?? '');
  const answer = await context.client.post<DriverAnswer>(
    `drivers/${encodeURIComponent(uid)}/drain`,
    deadline === undefined ? {} : { deadline },
  );
  return afterwards(context, answer, managed);
}

export async function evict(context: OnlineContext): Promise<Shown> {
  const { uid, managed } = await driverNamed(context, context.operands[0] ?? '');
  const path = `drivers/${encodeURIComponent(uid)}/evict`;
  return afterwards(context, await context.client.post<DriverAnswer>(path, {}), managed);
}

export async function release(context: OnlineContext): Promise<Shown> {
  const [written] = context.operands;
  const own = (await ownSessions(context)).map(({ id }) => id);
  if (context.options.has('mine')) return releaseAll(context, own);
  const id = await sessionNamed(context, written ?? '');
  const answer = await releaseOne(context, id, own.includes(id));
  return { value: answer, people: () => endedSentence(answer) };
}

async function releaseAll(context: OnlineContext, own: readonly string[]): Promise<Shown> {
  const answers: SessionAnswer[] = [];
  for (const id of own) answers.push(await releaseOne(context, id, true));
  return {
    value: answers,
    people: () => answers.map(endedSentence).join('') || 'You have no session.\n',
  };
}

function releaseOne({ client }: OnlineContext, id: string, isOwn: boolean): Promise<SessionAnswer> {
  const path = `sessions/${encodeURIComponent(id)}/release`;
  return client.post<SessionAnswer>(isOwn ? `me/${path}` : path, {});
}

function endedSentence({ id, end, endedAt }: SessionAnswer): string {
  return `Session ${id} has ended (${end}, ${endedAt}).\n`;
}

const spans = duration('1s');

/** RFC 3339. */
export function deadlineOf(written: string, nowMs: number): string {
  const spanMs = spans.parse(written, '');
  if (spanMs !== undefined) return new Date(nowMs + spanMs).toISOString();
  const zoned = /(Z|[+-]\d\d:\d\d)$/i.test(written) && !Number.isNaN(Date.parse(written));
  if (zoned) return new Date(written).toISOString();
  throw new GatewayError(
    'ARGUMENT_INVALID',
    `--deadline ${written}: allowed is ${spans.allowed}; or a time such as 2030-01-31T18:00:00Z`,
  );
}

async function afterwards(
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
