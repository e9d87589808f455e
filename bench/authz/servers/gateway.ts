/** The service as it is shipped. */
import pino from 'pino';
import { startAuthzServer } from '../../../src/authz/server.js';
import { systemClock } from '../../../src/model/clock.js';
import { assign, policyOf, subjectOf } from '../subject.js';

const subject = subjectOf(process.argv[2]);
const policy = policyOf(subject);
await startAuthzServer({
  address: { path: subject.socket },
  policy: () => policy,
  assigner: { assign },
  activity: { activity: () => undefined },
  clock: systemClock,
  logger: pino({ level: 'warn' }),
});
process.stdout.write('ready\n');
