/** What settings must fulfil together. */
import { authzAddress } from './authz-address.js';
import { formatAddress, isLoopback, type TcpAddress } from '../model/address.js';
import { refuseSessionTimeout } from '../model/connect-conf.js';
import { localVariants, sparkConfOf } from './types.js';
import type { Settings } from './table.js';

export interface Check {
  /** The settings it is about; a problem is reported where the first of them that is set was written. */
  readonly names: readonly string[];
  /** What is wrong and what is allowed, or undefined. */
  check(settings: Settings): string | undefined;
}

/** What its admission refuses in sparkConf (kubeflow/spark-operator, sparkconf_validator.go). */
const REFUSED_BY_OPERATOR =
  /^spark\.(master|kubernetes\.(driver\.master|namespace|([\w.]+\.)?container\.image|authenticate\.([\w.]+\.)?(serviceAccountName|oauthToken\w*)))$/;

export const checks: readonly Check[] = [
  {
    names: ['tls_cert_file', 'tls_key_file'],
    check: ({ tlsCertFile, tlsKeyFile }) =>
      (tlsCertFile === undefined) === (tlsKeyFile === undefined)
        ? undefined
        : 'tls_cert_file and tls_key_file must be set both or not at all',
  },
  {
    names: ['listener.client_ca_file'],
    check: ({ listener, tlsCertFile }) =>
      listener.clientCaFile !== undefined && tlsCertFile === undefined
        ? 'listener.client_ca_file needs tls_cert_file: clients show certificates over TLS only'
        : undefined,
  },
  {
    names: ['okta_ca_file', 'okta_issuer'],
    check: ({ oktaCaFile, oktaIssuer }) =>
      oktaCaFile !== undefined && oktaIssuer === undefined
        ? 'okta_ca_file needs okta_issuer'
        : undefined,
  },
  {
    names: ['okta_issuer', 'okta_client_id', 'okta_audience'],
    check: ({ oktaIssuer, oktaClientId, oktaAudience }) => {
      const restricted = oktaClientId !== undefined || oktaAudience !== undefined;
      if (oktaIssuer !== undefined && !restricted) {
        return 'okta_issuer needs okta_client_id or okta_audience: else tokens made for any other application would be accepted';
      }
      return oktaIssuer === undefined && restricted
        ? 'okta_client_id and okta_audience need okta_issuer'
        : undefined;
    },
  },
  {
    names: ['admin.cert_file', 'admin.key_file'],
    check: ({ admin }) =>
      (admin.certFile === undefined) === (admin.keyFile === undefined)
        ? undefined
        : 'admin.cert_file and admin.key_file must be set both or not at all',
  },
  {
    names: ['mtls.cert_file', 'mtls.key_file', 'mtls.ca_file'],
    check: ({ mtls }) => {
      const set = [mtls.certFile, mtls.keyFile, mtls.caFile].filter((file) => file !== undefined);
      return set.length === 0 || set.length === 3
        ? undefined
        : 'mtls.cert_file, mtls.key_file and mtls.ca_file must be set all or not at all';
    },
  },
  ...(['xds', 'assignments'] as const).map((name): Check => ({
    names: [`${name}.listen_addr`],
    check: (settings) =>
      isOpen(settings[name].listenAddr) && settings.mtls.certFile === undefined
        ? `${name}.listen_addr is reachable from elsewhere: set mtls.cert_file, mtls.key_file and mtls.ca_file, or listen on a loopback address`
        : undefined,
  })),
  {
    names: ['runner.cert_file', 'runner.key_file', 'runner.client_ca_file'],
    check: ({ runner }) => {
      const set = [runner.certFile, runner.keyFile, runner.clientCaFile].filter(
        (file) => file !== undefined,
      );
      return set.length === 0 || set.length === 3
        ? undefined
        : 'runner.cert_file, runner.key_file and runner.client_ca_file must be set all or not at all';
    },
  },
  {
    names: ['runner.listen_addr'],
    check: ({ mtls, runner }) =>
      isOpen(runner.listenAddr) && (runner.certFile ?? mtls.certFile) === undefined
        ? 'runner.listen_addr is reachable from elsewhere: set runner.cert_file, runner.key_file and runner.client_ca_file or mtls.cert_file, or listen on a loopback address'
        : undefined,
  },
  {
    names: ['playground.cert_file', 'playground.key_file'],
    check: ({ playground }) =>
      (playground.certFile === undefined) === (playground.keyFile === undefined)
        ? undefined
        : 'playground.cert_file and playground.key_file must be set both or not at all',
  },
  {
    names: ['playground.issuer', 'console.client_id', 'okta_issuer'],
    check: ({ playground: own, console: shared, oktaClientId }) =>
      own.issuer !== undefined && (own.clientId ?? shared.clientId ?? oktaClientId) === undefined
        ? 'playground.issuer needs playground.client_id'
        : undefined,
  },
  {
    names: ['xds.relay_addr', 'authz.listen_addr'],
    check: ({ xds, ...settings }) =>
      xds.relayAddr && formatAddress(xds.relayAddr) === formatAddress(authzAddress(settings))
        ? 'xds.relay_addr and authz.listen_addr must differ'
        : undefined,
  },
  {
    names: ['state_dir', 'authz.listen_addr'],
    check: (settings) => {
      const address = authzAddress(settings);
      // sockaddr_un.sun_path holds 108 bytes with its end (unix(7)).
      return 'path' in address && Buffer.byteLength(address.path) > 107
        ? `authz listens on the unix socket ${address.path}, and such a path may have 107 bytes: set authz.listen_addr or a shorter state_dir`
        : undefined;
    },
  },
  {
    names: ['audit.otlp', 'otlp.endpoint'],
    check: ({ audit, otlp }) =>
      audit.otlp && otlp.endpoint === undefined
        ? 'audit.otlp needs otlp.endpoint, where the collector listens'
        : undefined,
  },
  {
    names: ['tracing.enabled', 'otlp.endpoint'],
    check: ({ otlp, tracing }) =>
      tracing.enabled && otlp.endpoint === undefined
        ? 'tracing.enabled needs otlp.endpoint, where the collector listens'
        : undefined,
  },
  {
    names: ['authz.timeout', 'authz.hold_time'],
    check: ({ authz }) =>
      authz.timeoutMs > authz.holdTimeMs
        ? undefined
        : 'authz.timeout must be longer than authz.hold_time: else Envoy gives up while a driver starts',
  },
  {
    names: ['xds.debounce_max', 'xds.debounce'],
    check: ({ xds }) =>
      xds.debounceMaxMs >= xds.debounceMs
        ? undefined
        : 'xds.debounce_max must be at least xds.debounce',
  },
  {
    names: ['sessions.tombstone_ttl', 'session_ttl', 'assignments.cache_ttl'],
    check: ({ assignments, sessions, sessionTtlMs }) =>
      sessions.tombstoneTtlMs >= Math.max(sessionTtlMs, assignments.cacheTtlMs)
        ? undefined
        : 'sessions.tombstone_ttl must be at least session_ttl and assignments.cache_ttl: else a late client is taken for a new one',
  },
  {
    names: ['drivers.local.spark_conf', 'session_ttl'],
    check: ({ drivers: { local }, sessionTtlMs }) =>
      refuseSessionTimeout(local.sparkConf, sessionTtlMs),
  },
  {
    names: ['drivers.local.variants', 'session_ttl'],
    check: (settings) =>
      localVariants(settings)
        .map(({ conf }) => refuseSessionTimeout(conf, settings.sessionTtlMs))
        .find((refusal) => refusal !== undefined),
  },
  {
    names: ['hot_pool_size', 'pools.maximum'],
    check: ({ hotPoolSize, pools }) =>
      hotPoolSize <= pools.maximum ? undefined : 'hot_pool_size must not exceed pools.maximum',
  },
  {
    names: ['policy_resource', 'drivers.source'],
    check: ({ drivers, policyResource }) =>
      policyResource !== undefined && drivers.source !== 'kubernetes'
        ? 'policy_resource needs drivers.source "kubernetes": elsewhere the policy is a file (policy_file)'
        : undefined,
  },
  {
    names: ['drivers.source', 'drivers.static_file'],
    check: ({ drivers }) =>
      drivers.source === 'static' && drivers.staticFile === undefined
        ? 'drivers.source "static" needs drivers.static_file'
        : undefined,
  },
  {
    names: ['drivers.tls.cert_file', 'drivers.tls.key_file', 'drivers.tls.ca_file'],
    check: ({ drivers: { source, tls } }) => {
      const set = [tls.certFile, tls.keyFile, tls.caFile].filter((file) => file !== undefined);
      if (set.length !== 0 && set.length !== 3) {
        return 'drivers.tls.cert_file, drivers.tls.key_file and drivers.tls.ca_file must be set all or not at all';
      }
      return set.length > 0 && source === 'local'
        ? 'drivers.tls is not for drivers.source "local": these drivers speak plain text'
        : undefined;
    },
  },
  {
    names: ['drivers.tls.names', 'drivers.tls.server_name'],
    check: ({ drivers: { tls } }) =>
      tls.certFile === undefined && (tls.names.length > 0 || tls.serverName !== undefined)
        ? 'drivers.tls.names and drivers.tls.server_name need drivers.tls.cert_file'
        : undefined,
  },
  {
    names: ['batch.output_url', 'drivers.source'],
    check: ({ batch, drivers }) =>
      batch.outputUrl?.startsWith('file:') === true && drivers.source === 'kubernetes'
        ? 'batch.output_url must be s3://… with drivers.source "kubernetes": files of a pod end with it'
        : undefined,
  },
  {
    names: ['batch.kubernetes.spark_conf', 'batch.kubernetes.templates'],
    check: ({ batch: { kubernetes } }) => {
      const confs = [
        kubernetes.sparkConf,
        ...Object.values(kubernetes.templates).map((text) => sparkConfOf(text)),
      ];
      const refused = confs.flatMap(Object.keys).find((key) => REFUSED_BY_OPERATOR.test(key));
      return refused === undefined
        ? undefined
        : `${refused} is none that a job may be given: the Spark operator refuses it, and has a field of its own for it`;
    },
  },
  {
    names: ['batch.records_maximum', 'batch.jobs_maximum'],
    check: ({ batch }) =>
      batch.recordsMaximum > batch.jobsMaximum
        ? undefined
        : 'batch.records_maximum must be greater than batch.jobs_maximum: jobs that have not ended are remembered, too',
  },
  {
    names: ['issuer.enabled'],
    check: ({ issuer, listenAddr }) =>
      issuer.enabled && isOpen(listenAddr)
        ? 'issuer.enabled is for development only: listen_addr must then be a loopback address'
        : undefined,
  },
  {
    names: ['console.issuer', 'okta_issuer'],
    check: ({ console: own, oktaClientId, oktaIssuer }) =>
      own.issuer !== undefined && (own.clientId ?? oktaClientId) === undefined
        ? `console.issuer needs console.client_id${oktaIssuer === undefined ? '' : ' or okta_client_id'}`
        : undefined,
  },
  {
    names: ['headers.team', 'headers.environment', 'headers.user'],
    check: ({ headers: { environment, team, user } }) =>
      new Set([environment, team, user]).size === 3
        ? undefined
        : 'headers.team, headers.environment and headers.user must differ',
  },
];

function isOpen({ host }: TcpAddress): boolean {
  return !isLoopback(host);
}
