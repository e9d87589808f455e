import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import {
  Client,
  type handleUnaryCall,
  type MethodDefinition,
  Server,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { clientCredentials, peerIdentity, serverCredentials } from '../../../src/lib/grpc/tls.js';
import { GatewayError } from '../../../src/model/errors.js';
import { TestAuthority } from '../../support/certificates.js';
import { ManualClock } from '../../support/manual-clock.js';
import { unusedAddress } from '../../support/loopback.js';

const HOST = await unusedAddress();
const REFRESH_MS = 10_000;
const bytes = (value: Buffer) => value;
const whoAmI: MethodDefinition<Buffer, Buffer> = {
  path: '/test.Test/WhoAmI',
  requestStream: false,
  responseStream: false,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
};

function temporaryDirectory(t: { teardown: (end: () => void) => void }): string {
  const directory = mkdtempSync(join(tmpdir(), 'gateway-tls-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  return directory;
}

const answerCommonName: handleUnaryCall<Buffer, Buffer> = (call, done) => {
  done(null, Buffer.from(String(call.getAuthContext().sslPeerCertificate?.subject.CN)));
};

/** A server that answers with the common name in its caller's certificate. */
async function startServer(credentials: ReturnType<typeof serverCredentials>) {
  const server = new Server();
  server.addService({ whoAmI }, { whoAmI: answerCommonName });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${HOST}:0`, credentials, (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return { server, target: `${HOST}:${port}` };
}

/** One call on a connection of its own. */
function ask(target: string, credentials: ReturnType<typeof clientCredentials>): Promise<string> {
  const client = new Client(target, credentials, { 'grpc.use_local_subchannel_pool': 1 });
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      whoAmI.path,
      bytes,
      bytes,
      Buffer.alloc(0),
      (error: ServiceError | null, answer?: Buffer) => {
        client.close();
        if (error) reject(error);
        else resolve(String(answer));
      },
    );
  });
}

test('both sides show certificates of the authority that the other believes', async (t) => {
  const directory = temporaryDirectory(t);
  const authority = new TestAuthority();
  const serverFiles = authority.writeFiles(directory, 'server', { commonName: 's', ipv4: [HOST] });
  const clientFiles = authority.writeFiles(directory, 'client', { commonName: 'envoy-1' });
  const foreign = new TestAuthority('foreign').writeFiles(directory, 'foreign', {
    commonName: 'x',
  });
  const { server, target } = await startServer(serverCredentials(serverFiles));
  t.teardown(() => server.forceShutdown());
  t.is(await ask(target, clientCredentials(clientFiles)), 'envoy-1');
  const stranger = clientCredentials({ ...foreign, caFile: clientFiles.caFile });
  const refusal = await t.throwsAsync<ServiceError>(ask(target, stranger));
  t.is(refusal.code, status.UNAVAILABLE);
  t.is(
    (await t.throwsAsync<ServiceError>(ask(target, clientCredentials(undefined)))).code,
    status.UNAVAILABLE,
  );
  const deceived = clientCredentials({ ...clientFiles, caFile: foreign.caFile });
  t.is((await t.throwsAsync<ServiceError>(ask(target, deceived))).code, status.UNAVAILABLE);
});

test('renewed files are used for new connections, without a restart', async (t) => {
  const directory = temporaryDirectory(t);
  const [oldAuthority, newAuthority] = [new TestAuthority('old'), new TestAuthority('new')];
  const clock = new ManualClock();
  const names = { commonName: 's', ipv4: [HOST] };
  const serverFiles = oldAuthority.writeFiles(directory, 'server', names);
  const clientFiles = oldAuthority.writeFiles(directory, 'client', { commonName: 'before' });
  const { server, target } = await startServer(serverCredentials(serverFiles, { clock }));
  const client = clientCredentials(clientFiles, { clock });
  t.teardown(() => server.forceShutdown());
  t.is(await ask(target, client), 'before');

  newAuthority.writeFiles(directory, 'server', names);
  newAuthority.writeFiles(directory, 'client', { commonName: 'after' });
  const renewed = clientCredentials(clientFiles);
  await t.throwsAsync(ask(target, renewed), undefined, 'not read again yet');
  await clock.advance(REFRESH_MS);
  t.is(await ask(target, renewed), 'after');
  t.is(await ask(target, client), 'after');
});

test('a certificate beside another key, or no file at all, leaves the old ones in use', async (t) => {
  const directory = temporaryDirectory(t);
  const authority = new TestAuthority();
  const clock = new ManualClock();
  const errors: GatewayError[] = [];
  const names = { commonName: 's', ipv4: [HOST] };
  const serverFiles = authority.writeFiles(directory, 'server', names);
  const client = clientCredentials(authority.writeFiles(directory, 'client', { commonName: 'c' }));
  const credentials = serverCredentials(serverFiles, { clock, onError: (e) => errors.push(e) });
  const { server, target } = await startServer(credentials);
  t.teardown(() => server.forceShutdown());

  writeFileSync(serverFiles.certFile, authority.issue(names).certificatePem);
  await clock.advance(REFRESH_MS);
  rmSync(serverFiles.keyFile);
  await clock.advance(REFRESH_MS);
  t.is(await ask(target, client), 'c');
  t.deepEqual(
    errors.map((error) => error.code),
    ['SETTINGS_INVALID'],
    'one report for a row of failures',
  );
});

test('files that cannot be used at the start are named', (t) => {
  const files = {
    certFile: '/nowhere/tls.crt',
    keyFile: '/nowhere/tls.key',
    caFile: '/nowhere/ca',
  };
  for (const credentials of [serverCredentials, clientCredentials]) {
    const error = t.throws(() => credentials(files), { instanceOf: GatewayError });
    t.is(error.code, 'SETTINGS_INVALID');
    t.regex(error.message, /\/nowhere\/tls\.crt.*ENOENT/);
  }
});

test('a peer is known by the alternative names of its certificate, and no name passes for two', (t) => {
  const issued = new TestAuthority().issue({
    commonName: 'envoy',
    uris: ['spiffe://mesh/ns/gateway/sa/envoy', 'spiffe://x, URI:spiffe://mesh/admin'],
    dnsNames: ['envoy.gateway.svc'],
    ipv4: ['127.0.0.1'],
  });
  t.deepEqual(peerIdentity(new X509Certificate(issued.certificatePem)), {
    uris: ['spiffe://mesh/ns/gateway/sa/envoy', 'spiffe://x, URI:spiffe://mesh/admin'],
    dnsNames: ['envoy.gateway.svc'],
  });
  const bare = new TestAuthority().issue({ commonName: 'envoy' });
  t.deepEqual(peerIdentity(new X509Certificate(bare.certificatePem)), { uris: [], dnsNames: [] });
});
