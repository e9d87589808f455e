/** What one row of the settings table is, and the type of the value that a table compiles to. */
import type { TextType } from '../lib/yaml/text-types.js';

/** How the value is written: one text, `[a, b]`, or `{name: text}`. */
export type SettingForm = 'text' | 'list' | 'map';

/** `T` is the compiled value; `Unit` is put behind its name (`session_ttl` → `sessionTtlMs`). */
export interface Setting<T, Unit extends string = ''> {
  readonly kind: 'setting';
  readonly form: SettingForm;
  readonly type: TextType<unknown>;
  readonly unit: Unit;
  /** As one would write it; undefined: not set unless someone does. */
  readonly default: string | undefined;
  /** A well-known variable used when nothing else sets the value, such as JAVA_HOME. */
  readonly fallbackEnv: string | undefined;
  readonly roles: readonly GatewayRole[];
  readonly about: string;
  /** Holds the compiled type; never present. */
  readonly value?: T;
}

export interface SettingGroup {
  readonly kind: 'group';
  readonly about: string;
  readonly settings: SettingTable;
}

export interface SettingTable {
  readonly [name: string]: Setting<unknown, string> | SettingGroup;
}

type TypeWithUnit<T, U extends string> = TextType<T> & { readonly unit: U };

interface Common {
  readonly roles: readonly GatewayRole[];
  readonly about: string;
}

/** A setting that always has a value. */
export function setting<T, U extends string>(
  type: TypeWithUnit<T, U>,
  options: Common & { readonly default: string },
): Setting<T, U>;
export function setting<T>(
  type: TextType<T>,
  options: Common & { readonly default: string },
): Setting<T>;
export function setting(
  type: TextType<unknown> & { readonly unit?: string },
  options: Common & { readonly default: string },
): Setting<unknown, string> {
  return row('text', type, type.unit ?? '', options);
}

/** A setting that may be left out; `about` says what that means. */
export function optional<T>(
  type: TextType<T>,
  options: Common & { readonly fallbackEnv?: string },
): Setting<T | undefined> {
  return row('text', type, '', options);
}

/** Any number of values; none by default. */
export function list<T>(type: TextType<T>, options: Common): Setting<readonly T[]> {
  return row('list', type, '', options);
}

/** Text by name; empty by default. */
export function textMap(type: TextType<string>, options: Common): Setting<TextMap> {
  return row('map', type, '', options);
}

export type TextMap = Readonly<Record<string, string>>;

export function group<const G extends SettingTable>(
  about: string,
  settings: G,
): { readonly kind: 'group'; readonly about: string; readonly settings: G } {
  return { kind: 'group', about, settings };
}

function row<U extends string>(
  form: SettingForm,
  type: TextType<unknown>,
  unit: U,
  options: Common & { readonly default?: string; readonly fallbackEnv?: string },
): Setting<never, U> {
  return {
    kind: 'setting',
    form,
    type,
    unit,
    default: options.default,
    fallbackEnv: options.fallbackEnv,
    roles: options.roles,
    about: options.about,
  };
}

type CamelCase<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : S;

type UnitOf<Row> = Row extends Setting<unknown, infer Unit> ? Unit : '';

/** The compiled value of a table: names in camel case, with their unit; groups nested. */
export type Compiled<Table extends SettingTable> = {
  readonly [
    Name in keyof Table & string as `${CamelCase<Name>}${UnitOf<Table[Name]>}`
  ]: Table[Name] extends {
    readonly kind: 'group';
    readonly settings: infer Inner extends SettingTable;
  }
    ? Compiled<Inner>
    : Table[Name] extends Setting<infer T, string>
      ? T
      : never;
};

/** `max_message_size` → `maxMessageSize`. */
export function camelCase(name: string): string {
  return name.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** Commands of `spark-gateway` that run with settings. */
export const gatewayRoles = [
  'control-plane',
  'authz',
  'runner',
  'playground',
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

// Who uses a setting. `start` uses all of them.

export const controlPlane = ['control-plane'] as const;
export const sidecars = ['authz'] as const;
export const servers = ['control-plane', 'authz'] as const;
/** They decide, or know people, by the routing policy. */
export const policyReaders = ['control-plane', 'authz', 'playground'] as const;
export const connected = ['control-plane', 'authz', 'runner', 'playground', 'bootstrap'] as const;
export const runners = ['runner'] as const;
export const playgrounds = ['playground'] as const;
export const issuers = ['issuer', 'token'] as const;
export const operator = ['operator'] as const;
export const envoyChild = ['start'] as const;
export const everyRole = [
  'control-plane',
  'authz',
  'runner',
  'playground',
  'issuer',
  'bootstrap',
  'token',
] as const;
