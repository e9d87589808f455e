/** `status`. */
import type { StatusView } from '../../model/admin-api.js';
import { renderFields, type Shown, printable } from '../render.js';
import type { OnlineCommand, OnlineContext } from '../command.js';
import { watch } from '../options.js';

export const status: OnlineCommand = {
  name: 'status',
  about: 'What there is and what is wrong, at a glance.',
  options: [watch],
  settingsOf: 'operator',
  online: true,
  show,
};

async function show({ client }: OnlineContext): Promise<Shown> {
  const found = await client.get<StatusView>('status');
  return { value: found, people: () => forPeople(found) };
}

function forPeople({
  version,
  replica,
  policy,
  envoys,
  unknown,
  sessions,
  drivers,
  problems,
}: StatusView): string {
  const fields = renderFields({
    release: version,
    replica: replica.leads
      ? `leads, epoch ${replica.epoch ?? ''}`
      : `follows ${replica.leader ?? 'nobody'}`,
    policy: policy.version,
    envoys: `${envoys.connected} connected: ${envoys.synced} synced, ${envoys.stale} stale, ${envoys.nacked} rejecting`,
    'of other replicas': unknown === undefined ? undefined : `nothing is known here: ${unknown}`,
    sessions: String(sessions),
    drivers: Object.entries(drivers)
      .filter(([, count]) => count > 0)
      .map(([phase, count]) => `${count} ${phase}`)
      .join(', '),
  });
  if (problems.length === 0) return `${fields}\n${verdict(envoys.connected, unknown)}\n`;
  const lines = problems.map((problem) => `  ${printable(problem)}\n`);
  return `${fields}\nProblems:\n${lines.join('')}`;
}

/** A gateway without an Envoy serves nobody, whatever else is well. */
function verdict(connected: number, unknown: string | undefined): string {
  if (connected > 0) {
    return unknown === undefined ? 'All is well.' : 'No problem is known to this replica.';
  }
  return unknown === undefined
    ? 'No problem is known, but no Envoy is connected: nobody is served.'
    : 'No problem is known, but whether an Envoy is connected is not: ask the leader.';
}
