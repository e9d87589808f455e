import type { EnvoySettings } from '../../src/envoy/settings.js';

/** What the gateway's own defaults come to. */
export const defaultEnvoySettings: EnvoySettings = {
  listener: {
    address: '0.0.0.0',
    port: 15002,
    tls: false,
    trustedProxies: 0,
    accessLogIntervalMs: 30_000,
  },
  authz: {
    longestHoldMs: 60_000,
    headers: ['x-doordash-team', 'x-doordash-environment', 'x-doordash-user'],
  },
  drivers: {
    maxConnectionsPerDriver: 100,
    connectTimeoutMs: 5_000,
    tls: false,
  },
};
