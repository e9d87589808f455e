/** What a command is: its help, and what it does. Each has a file of its own in `commands/`. */
import type { KubernetesApi } from '../lib/kubernetes/kubernetes-api.js';
import type { GatewayRole } from '../settings/setting.js';
import type { Settings } from '../settings/table.js';
import { isOutputForm, renderShown, type Shown } from './render.js';

/** For the parser, help and completion. */
export interface CommandDescription {
  /** As typed: `authz`, `policy validate`. */
  readonly name: string;
  readonly about: string;
  /** What follows the name, beside the options: `<file>...`, `<driver>`. */
  readonly operands?: string;
  /** Options of which each stands for the operand. */
  readonly insteadOfOperand?: readonly string[];
  /** All that may be written as operand, where that is little. */
  readonly operandChoices?: readonly string[];
  readonly options?: readonly OptionDescription[];
  /** Whose settings it reads; undefined: none. */
  readonly settingsOf?: GatewayRole;
  /** Asks a gateway that runs, and takes the options that say which, as whom, and how to show the answer. */
  readonly online?: boolean;
  /** Runs with the settings of development where nobody names any, as those that ask a gateway do. */
  readonly developmentSettings?: boolean;
  /** What is wrong with options that are good one by one, a line each. */
  readonly check?: (options: ReadonlyMap<string, string>) => readonly string[];
}

export interface OptionDescription {
  /** Without dashes. */
  readonly name: string;
  readonly short?: string;
  /** What stands behind it; undefined: nothing, it is there or not. */
  readonly value?: string;
  readonly about: string;
  readonly required?: boolean;
  /** All that may be written, where that is little. */
  readonly choices?: readonly string[];
  /** Beginnings of what may be written beside the choices. */
  readonly openChoices?: readonly string[];
}

/** Does its work on this machine, or is a process. */
export interface LocalCommand extends CommandDescription {
  readonly online?: false;
  /** Resolves with the exit code; undefined: 0. */
  run(invocation: Invocation): Promise<number | undefined>;
}

/** Asks a gateway that runs. */
export interface OnlineCommand extends CommandDescription {
  readonly online: true;
  /** Whom it asks; the control plane where it is left out. */
  readonly asks?: 'playground';
  readonly settingsOf: GatewayRole;
  show(context: OnlineContext): Promise<Shown>;
}

export type Command = LocalCommand | OnlineCommand;

/** What was written, and what a command works with. */
export interface Invocation {
  readonly operands: readonly string[];
  /** By name; a flag that is there has the value "true". */
  readonly options: ReadonlyMap<string, string>;
  /** Every command, for what is made from all of them. */
  readonly commands: readonly CommandDescription[];
  readonly processes: Processes;
  /** Those that the command line, the environment and the file say. */
  readonly settings: () => Promise<Settings>;
  readonly print: (text: string) => void;
}

/** What src/main.ts starts: a command imports no process. */
export interface Processes {
  start(settings: Settings): Promise<void>;
  controlPlane(settings: Settings): Promise<void>;
  authz(settings: Settings): Promise<void>;
  runner(settings: Settings): Promise<void>;
  playground(settings: Settings): Promise<void>;
  issuer(settings: Settings): Promise<void>;
  /** Envoy's configuration, as JSON. */
  bootstrap(settings: Settings): Promise<string>;
  /** The same into a file that only its owner reads. */
  writeBootstrap(settings: Settings, file: string): Promise<void>;
  /** The clusters that the settings name, with whoever the kubeconfig says. Rejects with SETTINGS_INVALID. */
  kubernetes(settings: Settings): Promise<KubernetesClusters>;
  /** Prints a token of the development issuer. */
  token(settings: Settings, user: string, ttlMs: number | undefined): Promise<void>;
}

export interface KubernetesClusters {
  /** Those that drivers run in. */
  readonly clusters: readonly AnalyzedCluster[];
  /** The one that keeps the records, the lease and the key. */
  readonly home: AnalyzedCluster;
  /** The gateway's own there. */
  readonly namespace: string;
  /** Its name. */
  readonly gateway: string;
  close(): void;
}

/** One cluster. */
export interface AnalyzedCluster {
  /** The context of the kubeconfig; empty in a pod. */
  readonly name: string;
  readonly api: Pick<KubernetesApi, 'request'>;
}

/** The admin API. `path` without the part that all have; both reject with what the gateway says, or with ADMIN_API_UNREACHABLE. */
export interface AdminApi {
  get<T>(path: string, query?: Readonly<Record<string, string>>): Promise<T>;
  post<T>(path: string, body: unknown, type?: string): Promise<T>;
  /** Server-sent events until the connection ends, which is not told from one that breaks. Absent: there are none. */
  events?(path: string, lastId: string | undefined): AsyncIterable<ServerSentEvent>;
}

export interface ServerSentEvent {
  readonly name: string;
  /** undefined: it has none. */
  readonly id: string | undefined;
  readonly data: string;
}

export interface OnlineContext {
  readonly client: AdminApi;
  readonly operands: readonly string[];
  readonly options: ReadonlyMap<string, string>;
  /** Wall time, milliseconds since the epoch. */
  now(): number;
  /** Resolves after a moment; rejects when the command is to end. */
  pause(ms: number): Promise<void>;
  /** Tells people what is going on, apart from the answer. */
  say(text: string): void;
  /** Shows what comes bit by bit, ahead of what the command shows at its end. */
  print(text: string): void;
}

/** The options of these names that are there, as a query. */
export function queryOf(
  { options }: OnlineContext,
  names: readonly string[],
): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = options.get(name);
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

/** As `--output` says. */
export function printShown({ options, print }: Invocation, shown: Shown): void {
  const output = options.get('output') ?? 'table';
  print(renderShown(shown, isOutputForm(output) ? output : 'table', undefined));
}
