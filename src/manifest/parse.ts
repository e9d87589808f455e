/** Reads manifests. Runs in browsers, too: nothing here, or below, is of Node. */
import { parseYaml, type YamlValue } from '../lib/yaml/yaml-tree.js';
import type { Place, Problem } from '../lib/yaml/problem.js';
import { Reader } from '../lib/yaml/schema.js';
import { GatewayError, type PlacedProblem } from '../model/errors.js';
import { type JobResources, usualResources } from '../model/job.js';
import { type CheckOptions, checkManifest } from './checks.js';
import { type Manifest, manifestDocument, type ResourcesEntry } from './document.js';

/** UTF-8. A ConfigMap holds as much. */
export const MOST_BYTES = 1024 * 1024;
/** So that no manifest takes long to read: some thousand cells of inline rows, and everything else. */
const MOST_TOKENS = 100_000;
/** Told at a time. */
const MOST_PROBLEMS = 100;

/** A mistake, where it is, and what is allowed. Columns count UTF-16 code units. */
export interface ManifestProblem extends PlacedProblem {
  readonly line: number;
  readonly column: number;
}

/** With a mistake there is no manifest, and the other way round. */
export type ParsedManifest =
  | { readonly manifest: Manifest; readonly problems: readonly [] }
  | { readonly manifest: undefined; readonly problems: readonly ManifestProblem[] };

/** Reads a manifest as a whole; `problems` are in the order in which they stand in it. */
export function parseManifest(text: string, options: Partial<CheckOptions> = {}): ParsedManifest {
  const bytes = text.length > MOST_BYTES ? text.length : new TextEncoder().encode(text).length;
  if (bytes > MOST_BYTES) {
    return refused([
      {
        place: { source: '', line: 1, column: 1 },
        message:
          'the manifest is larger than 1 MiB: put large data into files, and large SQL into views',
      },
    ]);
  }
  const parsed = parseYaml(text, '', { detailed: true, mostTokens: MOST_TOKENS });
  const reader = new Reader('');
  reader.problems.push(...parsed.problems);
  checkCharacters(parsed.value, reader);
  const manifest = parsed.wellFormed ? manifestDocument.read(parsed.value, reader) : undefined;
  if (manifest) checkManifest(manifest, { localPaths: false, team: undefined, ...options }, reader);
  return manifest && reader.problems.length === 0
    ? { manifest, problems: [] }
    : refused(reader.problems);
}

/** The same for those who need a good one: throws MANIFEST_INVALID and its `problems`. */
export function readManifest(text: string, options: Partial<CheckOptions> = {}): Manifest {
  const { manifest, problems } = parseManifest(text, options);
  if (manifest) return manifest;
  const said = problems.map(
    ({ column, line, message }) => `line ${line}, column ${column}: ${message}`,
  );
  throw new GatewayError('MANIFEST_INVALID', said.join('\n'), { problems });
}

function refused(problems: readonly Problem[]): ParsedManifest {
  const sorted = problems.toSorted((a, b) => positionOf(a.place) - positionOf(b.place));
  const told = sorted
    .slice(0, MOST_PROBLEMS)
    .map(({ message, place: { column = 1, line = 1, path = '' } }): ManifestProblem => ({
      line,
      column,
      path,
      message,
    }));
  const last = told.at(-1);
  if (last && sorted.length > told.length) {
    told.push({ ...last, path: '', message: `… and ${sorted.length - told.length} more mistakes` });
  }
  return { manifest: undefined, problems: told };
}

/** To sort by: no line is so long. */
function positionOf({ column = 1, line = 1 }: Place): number {
  return line * 2 ** 21 + column;
}

/** What no text may hold: NUL, and halves of characters, which are no UTF-8. */
function checkCharacters(root: YamlValue, reader: Reader): void {
  const check = (text: string, place: Place) => {
    if (/[\0\p{Cs}]/u.test(text)) {
      reader.refuse(place, 'this text holds a character that is not allowed: NUL, or half of one');
    }
  };
  const open = [root];
  for (let value = open.pop(); value; value = open.pop()) {
    if (value.kind === 'text') check(value.text, value.place);
    if (value.kind === 'list') open.push(...value.items);
    if (value.kind !== 'map') continue;
    for (const entry of value.entries) {
      check(entry.key, entry.place);
      open.push(entry.value);
    }
  }
}

/** What the job is given, defaults applied. */
export function resourcesOf({ spec }: Manifest): JobResources {
  return resourcesOfEntry(spec.coreEtl.resources);
}

export function resourcesOfEntry(entry: ResourcesEntry): JobResources {
  const { driver, dynamicAllocation, executor } = entry;
  const { enabled, maxExecutors, minExecutors } = dynamicAllocation;
  const usual = usualResources.executor.instances;
  const instances = enabled ? Math.min(Math.max(usual, minExecutors), maxExecutors) : usual;
  return {
    driver: { cores: driver.cores, memory: driver.memory },
    executor: {
      cores: executor.cores,
      memory: executor.memory,
      instances: executor.instances ?? instances,
    },
    ...(enabled ? { dynamicAllocation: { minExecutors, maxExecutors } } : {}),
  };
}

/** The name of the last named result: of the last transform, else of the last source. */
export function resultOf({ spec }: Manifest): string {
  const { sources, transforms } = spec.coreEtl;
  return (transforms.at(-1) ?? sources.at(-1))?.name ?? '';
}
