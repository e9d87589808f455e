import { readFileSync } from 'node:fs';
import test from 'ava';
import {
  type BootstrapValues,
  controlPlaneSecrets,
  envoyArguments,
  renderBootstrap,
} from '../../src/envoy/bootstrap.js';

const template = readFileSync('envoy/bootstrap.yaml', 'utf8');

const values: BootstrapValues = {
  nodeId: 'n',
  nodeCluster: 'front',
  admin: { host: '127.0.0.1', port: 9901 },
  health: { host: '127.0.0.1', port: 9902 },
  xds: [{ host: '127.0.0.1', port: 18000 }],
  adsProtocol: 'incremental',
  accessLog: [{ host: '127.0.0.1', port: 18001 }],
  controlPlaneTls: undefined,
  authz: { socketPath: '/run/authz.sock' },
  heapBytes: 2 ** 30,
  downstreamConnections: 10_000,
};

function render(changes: Partial<BootstrapValues> = {}) {
  return JSON.parse(renderBootstrap(template, { ...values, ...changes }));
}

function cluster(bootstrap: ReturnType<typeof render>, name: string) {
  return bootstrap.static_resources.clusters.find((item: { name: string }) => item.name === name);
}

test('nothing of the template is left unfilled', (t) => {
  t.notRegex(JSON.stringify(render()), /\$\{/);
  t.is(render().node.id, 'n');
});

test('in the clear there is no transport socket; with mutual TLS its secrets come from watched files', (t) => {
  t.false('transport_socket' in cluster(render(), 'control_plane_xds'));
  const secured = render({
    controlPlaneTls: {
      serverName: 'control-plane.gateway.svc',
      identitySecretFile: '/run/identity.json',
      trustSecretFile: '/run/trust.json',
    },
  });
  for (const name of ['control_plane_xds', 'control_plane_access_log']) {
    t.is(
      cluster(secured, name).transport_socket.typed_config.sni,
      'control-plane.gateway.svc',
      name,
    );
  }
  t.false('transport_socket' in cluster(secured, 'ext_authz'));
});

test('the secrets name the files, the watched directory and the name to expect', (t) => {
  const { identity, trust } = controlPlaneSecrets(
    {
      directory: '/tls',
      certificateFile: '/tls/tls.crt',
      keyFile: '/tls/tls.key',
      authorityFile: '/tls/ca.crt',
    },
    'control-plane.gateway.svc',
  );
  const [pair] = JSON.parse(identity).resources;
  t.is(pair.tls_certificate.private_key.filename, '/tls/tls.key');
  t.is(pair.tls_certificate.watched_directory.path, '/tls');
  const [authority] = JSON.parse(trust).resources;
  t.deepEqual(authority.validation_context.match_typed_subject_alt_names, [
    { san_type: 'DNS', matcher: { exact: 'control-plane.gateway.svc' } },
  ]);
});

test('addresses are fixed, names are resolved', (t) => {
  t.is(cluster(render(), 'control_plane_xds').type, 'STATIC');
  const named = render({
    xds: [{ host: 'control-plane', port: 18000 }],
    accessLog: [{ host: 'control-plane', port: 18001 }],
  });
  t.is(cluster(named, 'control_plane_xds').type, 'STRICT_DNS');
});

test('authz is a unix socket or an address', (t) => {
  const endpoint = (bootstrap: ReturnType<typeof render>) =>
    cluster(bootstrap, 'ext_authz').load_assignment.endpoints[0].lb_endpoints[0].endpoint.address;
  t.deepEqual(endpoint(render()), { pipe: { path: '/run/authz.sock' } });
  t.deepEqual(endpoint(render({ authz: { host: '127.0.0.1', port: 9191 } })), {
    socket_address: { address: '127.0.0.1', port_value: 9191 },
  });
});

test('incremental or state-of-the-world', (t) => {
  t.is(render().dynamic_resources.ads_config.api_type, 'DELTA_GRPC');
  t.is(render({ adsProtocol: 'state-of-the-world' }).dynamic_resources.ads_config.api_type, 'GRPC');
});

test('a template that asks for something unknown is refused by name', (t) => {
  t.throws(() => renderBootstrap('node: { id: "${nodename}" }', values), {
    message: /\$\{nodename\}/,
    code: 'SETTINGS_INVALID',
  });
});

test('Envoy is started without hot restart, on as many threads as asked', (t) => {
  const args = envoyArguments({
    bootstrapFile: '/b.json',
    concurrency: 2,
    logLevel: 'warning',
    drainSeconds: 30,
  });
  t.true(args.includes('--disable-hot-restart'));
  t.is(args[args.indexOf('--concurrency') + 1], '2');
});
