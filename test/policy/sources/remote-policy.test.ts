import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { systemClock as clock } from '../../../src/model/clock.js';
import { GatewayError } from '../../../src/model/errors.js';
import { compilePolicy } from '../../../src/policy/compile.js';
import { RemotePolicy, PolicyDistribution } from '../../../src/policy/sources/distribution.js';
import { KeptPolicy, LastGoodPolicy } from '../../../src/policy/sources/last-good.js';
import { Signal } from '../../support/signal.js';
import { HEAD, options } from '../support.js';
import { unusedAddress } from '../../support/loopback.js';

const HOST = await unusedAddress();

const logger = pino({ level: 'silent' });

function withQuota(sessions: number): string {
  return `${HEAD}access: []\nquotas: [{sessions_per_principal: ${sessions}}]\n`;
}

/** A control plane that has this policy. */
async function serve(t: ExecutionContext, text: string, port = 0) {
  const source = new LastGoodPolicy({ what: 'it', clock, logger });
  const put = (next: string) => source.take(compilePolicy(next, 'policy.yaml', options), next);
  put(text);
  const distribution = new PolicyDistribution(source);
  const server = new Server();
  distribution.addTo(server);
  const bound = await new Promise<number>((resolve, reject) => {
    const insecure = ServerCredentials.createInsecure();
    server.bindAsync(`${HOST}:${port}`, insecure, (error, used) => {
      if (error) reject(error);
      else resolve(used);
    });
  });
  t.teardown(() => server.forceShutdown());
  const away = new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'It ends.');
  return {
    port: bound,
    put,
    /** Tells what no gateway with these settings takes. */
    putBad(document: string) {
      const { status } = source;
      Object.defineProperty(source, 'status', {
        value: { ...status, version: 'other', text: document },
        configurable: true,
      });
      source.refuse('it changed');
      Reflect.deleteProperty(source, 'status');
    },
    async end() {
      distribution.close(away);
      await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
    },
  };
}

function sidecar(t: ExecutionContext, port: number, folder = mkdtempSync(join(tmpdir(), 'kept-'))) {
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'state', 'policy.yaml');
  const stop = new AbortController();
  const open = async () => {
    const opened = await RemotePolicy.open(
      {
        address: `${HOST}:${port}`,
        serverName: undefined,
        credentials: credentials.createInsecure(),
        compile: options,
        kept: new KeptPolicy(file, logger),
        clock,
        logger,
      },
      stop.signal,
    );
    if (!opened) return undefined;
    t.teardown(() => opened.close());
    const changes = new Signal<void>();
    opened.onChange(() => changes.emit());
    const quota = () => opened.current.quotas('sjns-a-dev').sessionsPerPrincipal;
    return { policy: opened, changes, quota };
  };
  return { file, folder, stop, open };
}

test('it decides by what the control plane tells, and goes on with that when it is away or tells nonsense', async (t) => {
  const first = await serve(t, withQuota(1));
  const { file, open } = sidecar(t, first.port);
  const remote = await open();
  t.is(remote?.quota(), 1);
  first.put(withQuota(2));
  await remote?.changes.next();
  t.is(remote?.quota(), 2);
  first.putBad('kind: Nonsense\n');
  await remote?.changes.next();
  t.is(remote?.quota(), 2);
  t.regex(remote?.policy.status.error ?? '', /Nonsense/);
  await first.end();
  t.is(remote?.quota(), 2);
  await serve(t, withQuota(3), first.port);
  await remote?.changes.next();
  t.is(remote?.quota(), 3);
  t.is(remote?.policy.status.error, undefined);
  await remote?.policy.close();
  t.is(readFileSync(file, 'utf8'), withQuota(3));
  t.is(statSync(file).mode & 0o777, 0o600);
});

test('after a restart it decides by its copy until a control plane answers', async (t) => {
  const first = await serve(t, withQuota(1));
  const { open } = sidecar(t, first.port);
  await (await open())?.policy.close();
  await first.end();
  const again = await open();
  t.is(again?.quota(), 1);
  await serve(t, withQuota(2), first.port);
  await again?.changes.next();
  t.is(again?.quota(), 2);
});

test('without a copy, or with a broken one, there is nothing to decide by until a control plane answers', async (t) => {
  const gone = await serve(t, withQuota(1));
  await gone.end();
  const { open, stop, folder } = sidecar(t, gone.port);
  const waiting = open();
  stop.abort();
  t.is(await waiting, undefined);
  const broken = sidecar(t, gone.port, folder);
  mkdirSync(join(folder, 'state'));
  writeFileSync(broken.file, 'half a po');
  const second = broken.open();
  await serve(t, withQuota(2), gone.port);
  t.is((await second)?.quota(), 2);
});
