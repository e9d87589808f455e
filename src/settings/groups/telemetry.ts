/** What is told of requests: audit records, traces, access logs. */
import { path } from '../../lib/yaml/file-path.js';
import { boolean, choice, integer, duration, size } from '../../lib/yaml/text-types.js';
import { group, optional, setting, controlPlane, servers } from '../setting.js';
import { otlpEndpoint } from '../types.js';

export const audit = group('Audit records of RPCs, decisions and administration (docs/audit.md).', {
  stdout: setting(boolean, {
    default: 'true',
    roles: controlPlane,
    about: "Whether they are written to standard output, among the control plane's log.",
  }),
  file: optional(path, {
    roles: controlPlane,
    about: 'File for them, which may be renamed at any time, as by logrotate.',
  }),
  file_size: setting(size('64KiB', '1TiB'), {
    default: '128MiB',
    roles: controlPlane,
    about: 'When audit.file would grow beyond this, it is renamed and a new one begun.',
  }),
  file_age: setting(duration('1m', '365d'), {
    default: '1d',
    roles: controlPlane,
    about: 'The same when it is this old.',
  }),
  file_count: setting(integer(0, 100_000), {
    default: '30',
    roles: controlPlane,
    about: 'Renamed files that are kept; older ones are removed.',
  }),
  file_sync: setting(choice('batch', 'second', 'never'), {
    default: 'second',
    roles: controlPlane,
    about:
      'When what was written to audit.file is made durable (fsync): with each batch of records, within a second, or when the system likes.',
  }),
  otlp: setting(boolean, {
    default: 'false',
    roles: controlPlane,
    about: 'Whether they are sent to the collector of otlp.endpoint as log records.',
  }),
  queue_size: setting(size('64KiB', '4GiB'), {
    default: '16MiB',
    roles: controlPlane,
    about:
      'Records that wait for a slow destination, for each; further ones are dropped and counted. Requests never wait.',
  }),
});

export const otlp = group('The OpenTelemetry collector, spoken to in OTLP over gRPC.', {
  endpoint: optional(otlpEndpoint, {
    roles: servers,
    about: 'Where it listens; https for TLS.',
  }),
  ca_file: optional(path, {
    roles: servers,
    about: "CA of the collector's certificate (PEM); without it, those that the system trusts.",
  }),
});

export const tracing = group(
  'OpenTelemetry traces of requests: Envoy, authz, the control plane, joined by traceparent.',
  {
    enabled: setting(boolean, {
      default: 'false',
      roles: servers,
      about:
        'Whether traces are sent to otlp.endpoint. Part of the listener: a change ends open streams once, as an upgrade does.',
    }),
    sample_percent: setting(integer(0, 100), {
      default: '10',
      roles: controlPlane,
      about:
        'Requests that are traced, of those whose client sends no traceparent; one that does decides itself. Part of the listener, too.',
    }),
  },
);

export const accessLog = group("Envoy's access logs: audit and activity of sessions.", {
  interval: setting(duration('1s', '1h'), {
    default: '1m',
    roles: controlPlane,
    about:
      'How often a stream that stays open is reported; in any case three times in session_ttl, so that a running query does not look idle.',
  }),
});
