/** The format of a manifest, as people write it: a job of Spark, whole. */
import {
  about,
  list,
  object,
  optional,
  record,
  required,
  text,
  type TypeOf,
  withDefault,
} from '../lib/yaml/schema.js';
import { boolean, choice, integer, matching } from '../lib/yaml/text-types.js';
import { usualResources } from '../model/job.js';
import { scalar, type Scalar } from './scalars.js';
import {
  columnName,
  dataPath,
  ddl,
  engineVersions,
  format,
  jobName,
  memory,
  optionValue,
  sql,
  stepName,
  tableName,
  teamName,
} from './texts.js';

export const API_VERSION = 'dcp.pedregal.doordash.com/v1';
export const KIND = 'SparkJob';

const optionName = matching('the name of an option', /^[A-Za-z][A-Za-z0-9]{0,63}$/, 64);
const options = (of: string) =>
  about(
    `Spark's options of ${of}, such as header: true.`,
    withDefault(record(optionName, optionValue, { most: 50 }), new Map<string, string>()),
  );

const source = object('a source', {
  name: about('What SQL calls it.', required(text(stepName))),
  table: about('Reads this table. A source has table, path or rows.', optional(text(tableName))),
  path: about('Reads files: a folder, a file or a pattern.', optional(text(dataPath))),
  format: about('Of the files at path.', optional(text(format))),
  options: options('the files at path'),
  rows: about(
    'Is these rows, each a map of columns.',
    optional(list(record(columnName, scalar({ orNothing: true }), { most: 500 }), { most: 1000 })),
  ),
  schema: about(
    'Columns of the files at path, or of rows, such as id BIGINT, name STRING.',
    optional(text(ddl)),
  ),
});

const transform = object('a transform', {
  name: about('What SQL of later transforms calls its result.', required(text(stepName))),
  sql: about(
    'One statement over sources and earlier transforms; :name stands for a parameter.',
    required(sql),
  ),
});

const sink = object('a sink', {
  from: about(
    'The source or transform that is written; default: the last transform.',
    optional(text(stepName)),
  ),
  table: about('Writes this table. A sink has table or path.', optional(text(tableName))),
  path: about('Writes files into this folder.', optional(text(dataPath))),
  format: about('Of the files at path.', optional(text(format))),
  mode: about(
    'What is done when there is something already.',
    withDefault(text(choice('error', 'append', 'overwrite', 'ignore')), 'error'),
  ),
  partitionBy: about(
    'Columns that become folders.',
    withDefault(list(text(columnName), { most: 20 }), []),
  ),
  options: options('what is written'),
});

const { driver: usualDriver, dynamicAllocation: usualAllocation } = usualResources;
const cores = about('CPU cores.', withDefault(text(integer(1, 64)), usualDriver.cores));
const memoryField = about('Memory of the JVM.', withDefault(text(memory), usualDriver.memory));
const executors = text(integer(0, 1000));

const DEFAULT_EXECUTOR = { ...usualResources.executor, instances: undefined };
const DEFAULT_ALLOCATION = { enabled: true, minExecutors: 1, maxExecutors: 10, ...usualAllocation };

/** What a job asks for. */
export const resources = object('resources', {
  driver: about(
    'The process that plans and collects.',
    withDefault(object('a driver', { cores, memory: memoryField }), usualDriver),
  ),
  executor: about(
    'Each of the processes that do the work.',
    withDefault(
      object('an executor', {
        cores,
        memory: memoryField,
        instances: about(
          'Executors at the start; default: 2, within the bounds of dynamicAllocation.',
          optional(text(integer(1, 1000))),
        ),
      }),
      DEFAULT_EXECUTOR,
    ),
  ),
  dynamicAllocation: about(
    'As many executors as there is work for.',
    withDefault(
      object('dynamic allocation', {
        enabled: about(
          'false: as many executors as executor.instances says, to the end.',
          withDefault(text(boolean), true),
        ),
        minExecutors: about(
          'Executors at least.',
          withDefault(executors, DEFAULT_ALLOCATION.minExecutors),
        ),
        maxExecutors: about(
          'Executors at most.',
          withDefault(executors, DEFAULT_ALLOCATION.maxExecutors),
        ),
      }),
      DEFAULT_ALLOCATION,
    ),
  ),
});

const coreEtl = object('coreEtl', {
  parameters: about(
    'Values for :name in SQL.',
    withDefault(
      record(stepName, scalar({ orNothing: false }), { most: 100 }),
      new Map<string, Scalar>(),
    ),
  ),
  sources: about('What is read.', withDefault(list(source, { most: 100 }), [])),
  transforms: about(
    'What is computed, in this order.',
    withDefault(list(transform, { most: 200 }), []),
  ),
  sinks: about('What is written at the end.', withDefault(list(sink, { most: 50 }), [])),
  resources: about(
    'Cores, memory and executors.',
    withDefault(resources, {
      driver: usualDriver,
      executor: DEFAULT_EXECUTOR,
      dynamicAllocation: DEFAULT_ALLOCATION,
    }),
  ),
});

export const manifestDocument = object('a manifest', {
  apiVersion: about('The format.', required(text(choice(API_VERSION)), API_VERSION)),
  kind: about('What it is.', required(text(choice(KIND)), KIND)),
  metadata: about(
    'Which job it is, and whose.',
    required(
      object('metadata', {
        name: about('What people call the job.', required(text(jobName))),
        team: about('Whose job it is.', required(text(teamName))),
      }),
    ),
  ),
  spec: about(
    'What is run, and by what.',
    required(
      object('spec', {
        engine: about(
          'What runs it.',
          required(
            object('an engine', {
              version: about(
                "Spark's release, in quotes.",
                required(text(choice(...engineVersions)), '3.5'),
              ),
            }),
          ),
        ),
        coreEtl: about('Sources, transforms and sinks.', required(coreEtl)),
      }),
    ),
  ),
});

/** A manifest without mistakes, with its defaults. */
export type Manifest = TypeOf<typeof manifestDocument>;
export type CoreEtl = TypeOf<typeof coreEtl>;
export type Source = TypeOf<typeof source>;
export type Transform = TypeOf<typeof transform>;
export type Sink = TypeOf<typeof sink>;
export type ResourcesEntry = TypeOf<typeof resources>;
