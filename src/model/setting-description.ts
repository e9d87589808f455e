/** Commands of `spark-gateway` that run with settings. */
export const gatewayRoles = [
  'control-plane',
  'authz',
  'start',
  'issuer',
  'bootstrap',
  'token',
  'operator',
] as const;
export type GatewayRole = (typeof gatewayRoles)[number];

/** One setting, as help and documentation show it. */
export interface SettingDescription {
  /** As in the file: `session_ttl`, `xds.debounce`. */
  readonly name: string;
  /** The environment variable that overrides the file. */
  readonly env: string;
  /** As one would write it; undefined: not set unless someone does. */
  readonly default: string | undefined;
  /** What may be written. */
  readonly allowed: string;
  readonly about: string;
}
