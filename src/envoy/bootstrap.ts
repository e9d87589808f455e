/** Envoy's bootstrap from `envoy/bootstrap.yaml` and its command line. */
import { isIP } from 'node:net';
import { parse } from 'yaml';
import { GatewayError } from '../model/errors.js';

export interface HostAndPort {
  /** IP address without brackets, or a DNS name, all of whose addresses are used. */
  readonly host: string;
  readonly port: number;
}

export type LocalServer = { readonly socketPath: string } | HostAndPort;

export interface BootstrapValues {
  /** Unique for each Envoy process; the control plane knows it by this name. */
  readonly nodeId: string;
  readonly nodeCluster: string;
  readonly admin: HostAndPort;
  /** Where Envoy answers probes and is scraped. */
  readonly health: HostAndPort;
  /**
   * xDS of every control plane (either all hosts are IP addresses or all are names), or of the relay
   * beside Envoy.
   */
  readonly xds: readonly HostAndPort[] | { readonly relay: LocalServer };
  readonly adsProtocol: 'incremental' | 'state-of-the-world';
  /** Access log service of every control plane. */
  readonly accessLog: readonly HostAndPort[];
  /** Mutual TLS to the control plane; undefined: in the clear, for one machine only. */
  readonly controlPlaneTls: ControlPlaneTls | undefined;
  readonly authz: LocalServer;
  /** Memory at which Envoy starts to refuse requests, bytes. */
  readonly heapBytes: number;
  /** Client connections at most. */
  readonly downstreamConnections: number;
}

export interface ControlPlaneTls {
  /** DNS name that the control plane's certificate must have. */
  readonly serverName: string;
  /** Files, ending in `.json`, to hold what `controlPlaneSecrets` makes. */
  readonly identitySecretFile: string;
  readonly trustSecretFile: string;
}

/** PEM files. Envoy watches `directory`, so that a renewed certificate is used without a restart. */
export interface ControlPlaneTlsFiles {
  readonly directory: string;
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly authorityFile: string;
}

/**
 * @param template text of `envoy/bootstrap.yaml`
 * @returns the bootstrap as JSON, for a file that ends in `.json` (Envoy reads YAML 1.1, in which an
 *   unquoted `n` is false)
 */
export function renderBootstrap(template: string, values: BootstrapValues): string {
  const { accessLog, xds } = values;
  const tls = values.controlPlaneTls && transportSocket(values.controlPlaneTls);
  const filled = fill(parse(template), {
    node_id: values.nodeId,
    node_cluster: values.nodeCluster,
    admin_address: address(values.admin),
    health_address: address(values.health),
    ads_api_type: values.adsProtocol === 'incremental' ? 'DELTA_GRPC' : 'GRPC',
    xds_discovery: 'relay' in xds ? localDiscovery(xds.relay) : discovery(xds),
    xds_endpoints: 'relay' in xds ? localEndpoints(xds.relay) : endpoints(xds),
    // The relay shows itself to the control plane in place of Envoy.
    xds_transport_socket: 'relay' in xds ? undefined : tls,
    access_log_discovery: discovery(accessLog),
    access_log_endpoints: endpoints(accessLog),
    access_log_transport_socket: tls,
    authz_discovery: localDiscovery(values.authz),
    authz_endpoints: localEndpoints(values.authz),
    heap_bytes: values.heapBytes,
    downstream_connections: values.downstreamConnections,
  });
  return JSON.stringify(filled, undefined, 2);
}

/** The two files named in `ControlPlaneTls`, JSON: what Envoy shows to the control plane, and whom it trusts. */
export function controlPlaneSecrets(
  files: ControlPlaneTlsFiles,
  serverName: string,
): { readonly identity: string; readonly trust: string } {
  const watched = { watched_directory: { path: files.directory } };
  return {
    identity: secretFile('control_plane_client', {
      tls_certificate: {
        certificate_chain: { filename: files.certificateFile },
        private_key: { filename: files.keyFile },
        ...watched,
      },
    }),
    trust: secretFile('control_plane_ca', {
      validation_context: {
        trusted_ca: { filename: files.authorityFile },
        match_typed_subject_alt_names: [{ san_type: 'DNS', matcher: { exact: serverName } }],
        ...watched,
      },
    }),
  };
}

export interface EnvoyArguments {
  readonly bootstrapFile: string;
  /** Worker threads; undefined: one for each core. */
  readonly concurrency: number | undefined;
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warning' | 'error' | 'critical' | 'off';
  /** How long open streams may go on after Envoy was told to drain. */
  readonly drainSeconds: number;
}

export function envoyArguments(options: EnvoyArguments): readonly string[] {
  return [
    '--config-path',
    options.bootstrapFile,
    '--log-level',
    options.logLevel,
    '--drain-time-s',
    String(options.drainSeconds),
    // Each client is told with its next request; the default tells some early and most late.
    '--drain-strategy',
    'immediate',
    // Several Envoys may run on one machine; none is ever replaced by a hot restart.
    '--disable-hot-restart',
    ...(options.concurrency === undefined ? [] : ['--concurrency', String(options.concurrency)]),
  ];
}

function fill(node: unknown, values: Readonly<Record<string, unknown>>): unknown {
  if (Array.isArray(node)) return node.map((item) => fill(item, values));
  if (typeof node === 'object' && node !== null) {
    const entries = Object.entries(node)
      .map(([key, value]) => [key, fill(value, values)] as const)
      .filter(([, value]) => value !== undefined);
    return Object.fromEntries(entries);
  }
  const name = typeof node === 'string' ? /^\$\{(\w+)\}$/.exec(node)?.[1] : undefined;
  if (name === undefined) return node;
  if (!Object.hasOwn(values, name)) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      `The bootstrap template asks for \${${name}}, which does not exist; known are ${Object.keys(values).join(', ')}.`,
    );
  }
  return values[name];
}

function address({ host, port }: HostAndPort) {
  return { socket_address: { address: host, port_value: port } };
}

function endpoints(hosts: readonly HostAndPort[]) {
  return [{ lb_endpoints: hosts.map((host) => ({ endpoint: { address: address(host) } })) }];
}

function localEndpoints(server: LocalServer) {
  const where = 'socketPath' in server ? { pipe: { path: server.socketPath } } : address(server);
  return [{ lb_endpoints: [{ endpoint: { address: where } }] }];
}

function localDiscovery(server: LocalServer): 'STATIC' | 'STRICT_DNS' {
  return 'socketPath' in server ? 'STATIC' : discovery([server]);
}

function discovery(hosts: readonly HostAndPort[]): 'STATIC' | 'STRICT_DNS' {
  return hosts.every(({ host }) => isIP(host) !== 0) ? 'STATIC' : 'STRICT_DNS';
}

function transportSocket(tls: ControlPlaneTls) {
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      sni: tls.serverName,
      common_tls_context: {
        tls_params: { tls_minimum_protocol_version: 'TLSv1_2' },
        alpn_protocols: ['h2'],
        tls_certificate_sds_secret_configs: [
          fileSecret('control_plane_client', tls.identitySecretFile),
        ],
        validation_context_sds_secret_config: fileSecret('control_plane_ca', tls.trustSecretFile),
      },
    },
  };
}

function fileSecret(name: string, path: string) {
  return { name, sds_config: { path_config_source: { path }, resource_api_version: 'V3' } };
}

function secretFile(name: string, secret: object): string {
  return JSON.stringify({
    resources: [
      {
        '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret',
        name,
        ...secret,
      },
    ],
  });
}
