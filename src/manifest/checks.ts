/** What is wrong with a manifest as a whole: what depends on more than one of its fields. */
import { didYouMean, quote } from '../lib/yaml/problem.js';
import { oneOf, type Reader } from '../lib/yaml/schema.js';
import type { CoreEtl, Manifest, Sink, Source } from './document.js';
import { readOptions, tableWriteOptions, writeOptions } from './format-options.js';
import { hasPattern, isLocal } from './texts.js';

export interface CheckOptions {
  /** Jobs may read and write files of the machine that they run on. */
  readonly localPaths: boolean;
  /** For which the job is to be run; undefined: that which the manifest names. */
  readonly team: string | undefined;
}

/** Mistakes go to the reader, which has read the manifest. */
export function checkManifest(manifest: Manifest, options: CheckOptions, reader: Reader): void {
  const { metadata, spec } = manifest;
  const { coreEtl } = spec;
  if (options.team !== undefined && options.team !== metadata.team) {
    reader.refuseAt(
      metadata,
      'team',
      `the job is submitted for the team ${quote(options.team)}, but its manifest is of ${quote(metadata.team)}: they must be the same`,
    );
  }
  checkNames(coreEtl, reader);
  for (const source of coreEtl.sources) checkSource(source, options, reader);
  for (const sink of coreEtl.sinks) checkSink(sink, options, reader);
  checkFlow(coreEtl, reader);
  checkResources(coreEtl, reader);
}

function checkNames({ sources, transforms }: CoreEtl, reader: Reader): void {
  const seen = new Set<string>();
  for (const step of [...sources, ...transforms]) {
    if (seen.has(step.name)) {
      reader.refuseAt(
        step,
        'name',
        `${quote(step.name)} is the name of another source or transform: each has a name of its own`,
      );
    }
    seen.add(step.name);
  }
}

function checkSource(source: Source, { localPaths }: CheckOptions, reader: Reader): void {
  const given = (field: string) => reader.wasGiven(source, field);
  const kinds = ['table', 'path', 'rows'].filter(given);
  const [kind, another] = kinds;
  if (kind === undefined) reader.refuseAt(source, undefined, 'a source needs table, path or rows');
  if (another !== undefined) {
    reader.refuseAt(
      source,
      another,
      `a source has one of table, path and rows; this has ${oneOf(kinds).replace(' or ', ' and ')}`,
    );
  }
  if (!given('path')) {
    onlyWith('path', source, 'format', reader);
    onlyWith('path', source, 'options', reader);
  } else {
    checkPath(source, localPaths, reader);
    checkOptions(
      source.options,
      source.format && readOptions[source.format],
      `reading ${source.format}`,
      reader,
    );
  }
  if (source.schema !== undefined && (kind === 'table' || source.format === 'delta')) {
    reader.refuseAt(source, 'schema', 'a table knows its own columns: leave schema out');
  }
  if (source.rows?.length === 0 && source.schema === undefined) {
    reader.refuseAt(source, 'rows', 'without rows, a source needs its columns: give a schema');
  }
}

function checkSink(sink: Sink, { localPaths }: CheckOptions, reader: Reader): void {
  const given = (field: string) => reader.wasGiven(sink, field);
  if (!given('table') && !given('path')) {
    reader.refuseAt(sink, undefined, 'a sink needs table or path');
  }
  if (given('table') && given('path')) {
    reader.refuseAt(sink, 'path', 'a sink has table or path; this has both');
  }
  if (!given('path')) {
    onlyWith('path', sink, 'format', reader);
    checkOptions(sink.options, tableWriteOptions, 'writing a table', reader);
  } else {
    checkPath(sink, localPaths, reader);
    checkOptions(
      sink.options,
      sink.format && writeOptions[sink.format],
      `writing ${sink.format}`,
      reader,
    );
    if (hasPattern(sink.path ?? '')) {
      reader.refuseAt(sink, 'path', 'the path of a sink must not hold any of * ? [ ] { }');
    }
  }
  if (new Set(sink.partitionBy).size < sink.partitionBy.length) {
    reader.refuseAt(sink, 'partitionBy', 'a column is given twice');
  }
}

function onlyWith(
  needed: string,
  entry: Source | Sink,
  field: 'format' | 'options',
  reader: Reader,
): void {
  if (reader.wasGiven(entry, field)) {
    reader.refuseAt(
      entry,
      field,
      `${field} says how the files at ${needed} are read or written: there is no ${needed} here`,
    );
  }
}

function checkPath(entry: Source | Sink, localPaths: boolean, reader: Reader): void {
  const { path = '' } = entry;
  if (!reader.wasGiven(entry, 'format')) reader.refuseAt(entry, 'path', 'path needs a format');
  if (isLocal(path) && !localPaths) {
    reader.refuseAt(
      entry,
      'path',
      `${quote(path)} is a file of the machine that the job runs on, which jobs must not use here: give a URL such as s3a://bucket/folder`,
    );
  }
}

function checkOptions(
  options: ReadonlyMap<string, string>,
  known: readonly string[] | undefined,
  doing: string,
  reader: Reader,
): void {
  if (!known) return;
  for (const name of options.keys()) {
    if (known.includes(name)) continue;
    const hint = didYouMean(name, known) || `; allowed: ${known.toSorted().join(', ')}`;
    reader.refuseAt(options, name, `${quote(name)} is no option of ${doing}${hint}`);
  }
}

/** Whether everything that is written comes from somewhere, and goes to a place of its own. */
function checkFlow(coreEtl: CoreEtl, reader: Reader): void {
  const { sinks, sources, transforms } = coreEtl;
  const names = [...sources, ...transforms].map(({ name }) => name);
  // What has mistakes may be left out above.
  const isWhole = !reader.problems.some(({ place }) =>
    /^spec\.coreEtl\.(sources|transforms|sinks)\b/.test(place.path ?? ''),
  );
  if (isWhole && transforms.length === 0 && sinks.length === 0) {
    reader.refuseAt(coreEtl, undefined, 'this job does nothing: give transforms or sinks');
  }
  const targets = new Map<string, Sink>();
  for (const sink of sinks) {
    const isKnown = sink.from === undefined ? names.length > 0 : names.includes(sink.from);
    if (isWhole && !isKnown) {
      const what =
        sink.from === undefined
          ? 'this sink has nothing to write'
          : `no source or transform is called ${quote(sink.from)}`;
      const hint = sink.from === undefined ? '' : didYouMean(sink.from, names);
      const all = hint === '' && names.length > 0 ? `; there are ${names.join(', ')}` : hint;
      reader.refuseAt(sink, 'from', what + all);
    }
    const target = sink.table ?? sink.path?.replace(/\/+$/, '');
    if (target === undefined) continue;
    const former = targets.get(target);
    if (former && (former.mode !== 'append' || sink.mode !== 'append')) {
      reader.refuseAt(
        sink,
        sink.table === undefined ? 'path' : 'table',
        `another sink writes ${quote(target)}, too: only sinks whose mode is append can share a target`,
      );
    }
    targets.set(target, sink);
  }
}

function checkResources({ resources }: CoreEtl, reader: Reader): void {
  const { dynamicAllocation, executor } = resources;
  const { enabled, maxExecutors, minExecutors } = dynamicAllocation;
  if (!enabled) return;
  if (maxExecutors < 1 || minExecutors > maxExecutors) {
    reader.refuseAt(
      dynamicAllocation,
      'maxExecutors',
      `maxExecutors is ${maxExecutors}: it must be at least 1, and not less than minExecutors, which is ${minExecutors}`,
    );
  } else if (executor.instances !== undefined && executor.instances > maxExecutors) {
    reader.refuseAt(
      executor,
      'instances',
      `instances is ${executor.instances}, but dynamicAllocation allows at most ${maxExecutors} executors (maxExecutors)`,
    );
  }
}
