/** The Helm programs of HELM_PROGRAMS, and what they make of a chart. */
import { execFileSync, spawnSync } from 'node:child_process';
import { basename, delimiter } from 'node:path';
import { parseAllDocuments } from 'yaml';

export interface Rendered {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

export interface Helm {
  /** Such as `helm4`. */
  readonly name: string;
  /** Path of the program. */
  readonly bin: string;
  /** The text of `helm template`. */
  text(chart: string, options?: RenderOptions): string;
  /** The objects of `helm template`. */
  objects(chart: string, options?: RenderOptions): Rendered[];
  /** What `helm template` says when it refuses. */
  refusal(chart: string, options?: RenderOptions): string;
  /** @throws Error with the output of `helm lint --strict` when it finds fault */
  lint(chart: string, options?: RenderOptions): void;
}

export interface RenderOptions {
  readonly release?: string;
  readonly namespace?: string;
  /** As `--set-json`: values of any kind by path. */
  readonly set?: Readonly<Record<string, unknown>>;
  /** Files of `--values`. */
  readonly values?: readonly string[];
  /** A release that is upgraded. */
  readonly upgrade?: boolean;
}

const binaries = (process.env['HELM_PROGRAMS'] ?? '.local/helm/bin/helm3:.local/helm/bin/helm4')
  .split(delimiter)
  .filter((name) => name !== '');

export const helms: readonly Helm[] = binaries.map((bin) => ({
  name: basename(bin),
  bin,
  text: (chart, options = {}) =>
    execFileSync(bin, template(chart, options), {
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  objects(chart, options = {}) {
    return objectsOf(this.text(chart, options));
  },
  refusal(chart, options = {}) {
    const { status, stderr, stdout } = spawnSync(bin, template(chart, options), {
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    });
    if (status === 0) throw new Error(`It renders:\n${stdout.slice(0, 2000)}`);
    return stderr;
  },
  lint(chart, options = {}) {
    const args = ['lint', '--strict', chart, ...overrides(options)];
    const { status, stdout, stderr } = spawnSync(bin, args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${stdout}\n${stderr}`);
  },
}));

/** The newest of them, for tests that need only one. */
export const helm: Helm = helms.at(-1) as Helm;

export function objectsOf(text: string): Rendered[] {
  return parseAllDocuments(text)
    .map((document) => {
      // Strict about what Kubernetes' own parser refuses: a key that is there twice.
      if (document.errors.length > 0) throw document.errors[0];
      return document.toJS() as Rendered | null;
    })
    .filter((object) => object !== null);
}

function template(chart: string, options: RenderOptions): string[] {
  const { release = 'sc', namespace = 'team', upgrade = false } = options;
  return [
    'template',
    release,
    chart,
    '--namespace',
    namespace,
    ...(upgrade ? ['--is-upgrade'] : []),
    ...overrides(options),
  ];
}

function overrides({ set = {}, values = [] }: RenderOptions): string[] {
  return [
    ...values.flatMap((file) => ['--values', file]),
    ...Object.entries(set).flatMap(([path, value]) => [
      '--set-json',
      `${path}=${JSON.stringify(value)}`,
    ]),
  ];
}

/** The one object of that kind, and of that name where it is given. */
export function one(objects: readonly Rendered[], kind: string, name?: string): Rendered {
  const found = objects.filter(
    (object) => object.kind === kind && (name === undefined || object.metadata.name === name),
  );
  if (found.length !== 1) throw new Error(`${found.length} × ${kind} ${name ?? ''}`);
  return found[0] as Rendered;
}
