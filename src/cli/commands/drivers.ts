/** `drivers`. */
import type { DriverDetailView, DriverView } from '../../model/admin-api.js';
import { driverPhases } from '../../model/driver.js';
import { printable, since, renderFields, type Shown, type Column } from '../render.js';
import { type OnlineCommand, type OnlineContext, queryOf } from '../command.js';
import { filter, namespacedList } from '../options.js';
import { driverIds, shortIds, wholeId } from '../ids.js';
import { shownListing } from '../listing.js';

export const drivers: OnlineCommand = {
  name: 'drivers',
  about: 'Each driver with its phase and the reason; with an id, one driver.',
  operands: '[<driver>]',
  options: [
    filter('phase', 'Only those in this phase.', driverPhases),
    { name: 'all', about: 'Those that are gone, too, as long as they are remembered.' },
    ...namespacedList,
  ],
  settingsOf: 'operator',
  online: true,
  show: listOrOne,
};

async function listOrOne(context: OnlineContext): Promise<Shown> {
  const [id] = context.operands;
  return id === undefined ? listOf(context) : one(context, id);
}

/** The driver whose uid or name is, or begins with, what was written. */
export async function driverNamed({ client }: OnlineContext, written: string): Promise<DriverView> {
  const all = await client.get<readonly DriverView[]>('drivers');
  const named = all.find(({ name }) => name === written);
  if (named) return named;
  const whole = wholeId(
    written,
    all.flatMap(({ uid, name }) => (uid.startsWith(written) ? [uid] : [name])),
    driverIds,
  );
  const found = all.find(({ uid, name }) => uid === whole || name === whole);
  if (!found) throw new Error(`${whole} is no driver of those listed`);
  return found;
}

async function listOf(context: OnlineContext): Promise<Shown> {
  const query = queryOf(context, ['namespace', 'phase']);
  const all = await context.client.get<readonly DriverView[]>('drivers', query);
  const { options } = context;
  const withGone = options.has('all') || options.get('phase') === 'gone';
  const found = withGone ? all : all.filter(({ phase }) => phase !== 'gone');
  return shownListing(context, {
    kind: 'driver',
    rows: found,
    nameOf: ({ uid }) => uid,
    columns: (rows, { wide }) => columns(rows, wide, context.now()),
    nothing: 'There is no driver.',
  });
}

function columns(
  found: readonly DriverView[],
  wide: boolean,
  nowMs: number,
): readonly Column<DriverView>[] {
  const short = shortIds(found.map(({ uid }) => uid));
  const canaries = found.some(({ variant }) => variant !== undefined);
  return [
    { title: 'DRIVER', value: ({ uid }) => (wide ? uid : short(uid)) },
    { title: 'NAMESPACE', value: ({ namespace }) => namespace },
    { title: 'VARIANT', value: ({ variant }) => variant ?? '', wide: !canaries },
    { title: 'PHASE', value: ({ phase }) => phase },
    { title: 'READY', value: ({ ready }) => (ready ? 'yes' : 'no') },
    { title: 'SESSIONS', value: ({ sessions }) => String(sessions) },
    { title: 'TENANT', value: ({ tenant }) => tenant?.principal.subject ?? '' },
    { title: 'SINCE', value: (driver) => since(driver.since, nowMs) },
    { title: 'NAME', value: ({ name }) => name, wide: true },
    { title: 'POD', value: ({ pod }) => pod ?? '', wide: true },
    { title: 'NODE', value: ({ node }) => node ?? '', wide: true },
    { title: 'OUTDATED', value: ({ outdated }) => (outdated ? 'yes' : 'no'), wide: true },
    { title: 'ADDRESS', value: ({ address }) => address, wide: true },
    { title: 'CLUSTER', value: ({ cluster }) => cluster ?? '', wide: true },
    { title: 'DEADLINE', value: ({ drainDeadline }) => drainDeadline ?? '', wide: true },
    { title: 'REASON', value: ({ problem }) => problem ?? '' },
  ];
}

async function one(context: OnlineContext, written: string): Promise<Shown> {
  const { uid } = await driverNamed(context, written);
  const driver = await context.client.get<DriverDetailView>(`drivers/${encodeURIComponent(uid)}`);
  return {
    value: driver,
    names: [`driver/${uid}`],
    people: () => detail(driver, context.now()),
  };
}

function eventLines(
  { events = [], eventsProblem }: DriverDetailView,
  nowMs: number,
): readonly string[] {
  if (eventsProblem !== undefined) return [`events: ${printable(eventsProblem)}\n`];
  if (events.length === 0) return [];
  const lines = events.map(({ at, type, reason, object, message, count }) => {
    const often = count > 1 ? ` (${count} times)` : '';
    const when = at === '' ? '' : `${since(at, nowMs)} ago  `;
    return `  ${when}${type}  ${reason}  ${object}: ${printable(message)}${often}\n`;
  });
  return ['events:\n', ...lines];
}

function detail(driver: DriverDetailView, nowMs: number): string {
  const { tenant } = driver;
  const fields = renderFields({
    driver: driver.uid,
    name: driver.name === driver.uid ? undefined : driver.name,
    namespace: driver.namespace,
    variant: driver.variant,
    outdated: driver.outdated ? 'yes: its template has changed since' : undefined,
    cluster: driver.cluster,
    pod: driver.pod,
    node: driver.node,
    address: driver.address,
    instance: driver.instance,
    phase: `${driver.phase}, since ${since(driver.since, nowMs)}`,
    reason: driver.problem,
    condition: driver.condition ?? 'not seen',
    routable: driver.routable ? 'yes' : 'no',
    tenant: tenant && `${tenant.principal.subject}, team ${tenant.team}`,
    deadline: driver.drainDeadline,
    created: `${driver.createdAt}, ${since(driver.createdAt, nowMs)} ago`,
  });
  const sessions = driver.sessions.map(
    ({ id, principal, createdAt }) => `  ${id}  ${principal.subject}  ${since(createdAt, nowMs)}\n`,
  );
  const ended = driver.ended.map(({ id, end, at }) => `  ${id}  ${end}  ${at}\n`);
  return [
    fields,
    ...(sessions.length > 0 ? ['sessions:\n', ...sessions] : []),
    ...(ended.length > 0 ? ['ended sessions:\n', ...ended] : []),
    ...eventLines(driver, nowMs),
  ].join('');
}
