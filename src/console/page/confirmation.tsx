/** The dialog that asks before drain, evict and release. */
import type { DriverAnswer, MeView, SessionAnswer } from '../../model/admin-api.js';
import { Dialog } from '../../lib/page/dialog.js';
import { post } from './api-client.js';
import { count } from '../../lib/page/format.js';
import type { LiveData } from './live-data.js';
import type { ActionTarget } from './page-state.js';

interface Props {
  readonly target: ActionTarget;
  readonly data: LiveData;
  readonly me: MeView;
  /** `outcome`: what was done, for people; empty when nothing was. */
  readonly onClose: (outcome: string) => void;
}

/** Deadlines of a drain, minutes; 0: none. */
const DEADLINES: readonly (readonly [number, string])[] = [
  [0, 'no deadline'],
  [10, 'in 10 minutes'],
  [60, 'in an hour'],
  [480, 'in 8 hours'],
];

const LOST =
  'What they hold in memory is lost and running queries fail. PySpark 4 says SESSION_CHANGED once, and the next getOrCreate() makes a new session; in PySpark 3.5 users call spark.stop() first.';

export function Confirmation({ target, data, me, onClose }: Props) {
  const { title, verb } = wording(target);
  const name = nameOf(target, data);
  return (
    <Dialog
      title={title}
      verb={verb}
      act={(form) => send(target, name, form, me)}
      onClose={onClose}
    >
      <p class="mono">{name}</p>
      <Consequences target={target} data={data} />
      {target.kind === 'drain' ? (
        <label>
          Sessions that are left then are ended:{' '}
          <select name="deadline">
            {DEADLINES.map(([minutes, text]) => (
              <option key={minutes} value={minutes}>
                {text}
              </option>
            ))}
          </select>
        </label>
      ) : null}
    </Dialog>
  );
}

function wording({ kind }: ActionTarget): { readonly title: string; readonly verb: string } {
  switch (kind) {
    case 'drain':
      return { title: 'Drain this driver?', verb: 'Drain' };
    case 'undrain':
      return { title: 'Take the drain back?', verb: 'Undrain' };
    case 'evict':
      return { title: 'Evict this driver?', verb: 'Evict' };
    case 'release':
      return { title: 'Release this session?', verb: 'Release' };
  }
}

function nameOf(target: ActionTarget, { drivers }: LiveData): string {
  if (target.kind === 'release') return target.session;
  return drivers.get(target.driver)?.name ?? target.driver;
}

function Consequences({ target, data }: Pick<Props, 'target' | 'data'>) {
  const sessions = [...data.sessions.values()];
  if (target.kind === 'release') {
    const session = sessions.find(({ id }) => id === target.session);
    return (
      <>
        <p>
          The session of <b>{session?.principal.subject ?? 'somebody'}</b> ends now
          {session?.runningQueries ? `, with ${count(session.runningQueries, 'RPC')} that run` : ''}
          .
        </p>
        <p>{LOST}</p>
      </>
    );
  }
  const here = sessions.filter(({ driver }) => driver === target.driver);
  const people = [...new Set(here.map(({ principal }) => principal.subject))];
  const whose =
    people.length === 0
      ? ''
      : ` (${people.slice(0, 5).join(', ')}${people.length > 5 ? ', …' : ''})`;
  if (target.kind === 'undrain') {
    return (
      <p>
        It takes new sessions again. It has {count(here.length, 'session')}
        {whose}.
      </p>
    );
  }
  if (target.kind === 'drain') {
    return (
      <p>
        No new session goes to it. It has {count(here.length, 'session')}
        {whose}, which {here.length === 1 ? 'goes' : 'go'} on; when the last one has ended, it is
        removed.
      </p>
    );
  }
  return (
    <>
      <p>
        The driver ends now, with {count(here.length, 'session')}
        {whose}.
      </p>
      {here.length === 0 ? null : <p>{LOST}</p>}
    </>
  );
}

async function send(
  target: ActionTarget,
  name: string,
  form: FormData,
  { role, forgeryToken = '' }: MeView,
): Promise<string> {
  if (target.kind === 'release') {
    // Whoever is no admin ends what is theirs.
    const whose = role === 'admin' ? '' : 'me/';
    const path = `${whose}sessions/${encodeURIComponent(target.session)}/release`;
    const { end } = await post<SessionAnswer>(path, {}, forgeryToken);
    return `Session ${name} has ended (${end}).`;
  }
  const minutes = Number(form.get('deadline') ?? 0);
  const body = minutes > 0 ? { deadline: `${minutes}m` } : {};
  const path = `drivers/${encodeURIComponent(target.driver)}/${target.kind}`;
  const { phase, sessions } = await post<DriverAnswer>(path, body, forgeryToken);
  return `Driver ${name} is ${phase.replaceAll('_', ' ')}, with ${count(sessions, 'session')}.`;
}
