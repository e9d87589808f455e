/** `drain`. */
import type { DriverAnswer } from '../../model/admin-api.js';
import { GatewayError } from '../../model/errors.js';
import { duration } from '../../lib/yaml/text-types.js';
import type { OnlineCommand, OnlineContext } from '../command.js';
import { afterwards, chosenBy, dryRun, eachChosen, wouldBe } from '../driver-actions.js';
import type { Shown } from '../render.js';
import { driverNamed } from './drivers.js';

export const drain: OnlineCommand = {
  name: 'drain',
  about:
    'Gives a driver, or all that are chosen, no new session; each ends when the last one leaves.',
  operands: '<driver>',
  insteadOfOperand: chosenBy.map(({ name }) => name),
  options: [
    ...chosenBy,
    {
      name: 'deadline',
      value: 'time',
      about:
        'When the sessions that are left are ended: a duration from now, such as 10m, or a time such as 2030-01-31T18:00:00Z; else never.',
    },
    { name: 'wait', about: 'Waits until the driver has ended.' },
    dryRun,
  ],
  settingsOf: 'operator',
  online: true,
  show,
};

async function show(context: OnlineContext): Promise<Shown> {
  const written = context.options.get('deadline');
  if (written !== undefined) checkDeadline(written);
  const body = written === undefined ? {} : { deadline: written };
  const [only] = context.operands;
  if (only === undefined) return eachChosen(context, 'drain', body);
  const { uid, managed } = await driverNamed(context, only);
  if (context.options.has('dry-run')) return wouldBe('drained', [uid]);
  const path = `drivers/${encodeURIComponent(uid)}/drain`;
  return afterwards(context, await context.client.post<DriverAnswer>(path, body), managed);
}

const spans = duration('1s');

/** @throws GatewayError ARGUMENT_INVALID */
export function checkDeadline(written: string): void {
  const zoned = /(Z|[+-]\d\d:\d\d)$/i.test(written) && !Number.isNaN(Date.parse(written));
  if (zoned || spans.parse(written, '') !== undefined) return;
  throw new GatewayError(
    'ARGUMENT_INVALID',
    `--deadline ${written}: allowed is ${spans.allowed}; or a time such as 2030-01-31T18:00:00Z`,
  );
}
