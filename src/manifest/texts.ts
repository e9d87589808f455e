/** What is written as one piece of text in a manifest. */
import { memoryMib } from '../model/job.js';
import { describe, type Schema } from '../lib/yaml/schema.js';
import { choice, matching, textType, type TextType } from '../lib/yaml/text-types.js';

/** Spark's releases for which there are engines. */
export const engineVersions = ['3.5', '4.1'] as const;
export type EngineVersion = (typeof engineVersions)[number];

/** Of sources, transforms and parameters, as SQL names them. */
export const stepName = matching(
  'a name of lower-case letters, digits and "_" that does not begin with a digit',
  /^[a-z_][a-z0-9_]{0,127}$/,
  128,
);

export const jobName = textType(
  'text of 1 to 128 characters on one line',
  (text) => (text.trim() !== '' && /^\P{Cc}{1,128}$/u.test(text) ? text : undefined),
  { type: 'string', pattern: '\\S', maxLength: 128 },
);

export const teamName = matching(
  'a name of letters, digits, ".", "_" and "-" that begins with a letter or digit',
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/,
  128,
);

export const columnName = textType(
  'the name of a column, of 1 to 255 characters',
  (text) => (/^\P{Cc}{1,255}$/u.test(text) ? text : undefined),
  { type: 'string', maxLength: 255 },
);

export const ddl = textType(
  'columns as SQL declares them, such as id BIGINT, name STRING',
  (text) => (text.trim() !== '' && text.length <= 65_536 ? text : undefined),
  { type: 'string', pattern: '\\S', maxLength: 65_536 },
);

/**
 * `orders.2026` is a table; but Spark reads `parquet.2026` as files in a folder
 * (https://spark.apache.org/docs/latest/sql-data-sources-load-save-functions.html#run-sql-on-files-directly).
 */
const FILES_IN_SQL =
  /^(parquet|orc|csv|json|text|avro|delta|iceberg|xml|binaryfile|libsvm|image|jdbc|hive)$/i;

export const tableName = textType(
  'a table such as catalog.schema.table, of letters, digits, "_" and "-" between the dots',
  (text) => {
    if (!/^[A-Za-z0-9_][A-Za-z0-9_-]{0,254}(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,254}){0,3}$/.test(text)) {
      return undefined;
    }
    const parts = text.split('.');
    return parts.length === 2 && FILES_IN_SQL.test(parts[0] ?? '') ? undefined : text;
  },
  {
    type: 'string',
    pattern: '^[A-Za-z0-9_][A-Za-z0-9_-]*(\\.[A-Za-z0-9_][A-Za-z0-9_-]*){0,3}$',
  },
);

const STORES = ['s3', 's3a', 'gs', 'abfs', 'abfss', 'wasbs', 'hdfs'];
const STORE_PATH = new RegExp(`^(${STORES.join('|')})://([^/]+)(/.*)?$`);
const LOCAL_PATH = /^(file:\/\/)?(\/.*)$/;

/** Where files are: in a store, or in this machine's file system, which `isLocal` tells. */
export const dataPath = textType(
  `a URL such as s3a://bucket/folder (${STORES.join(', ')}), without "..", names or passwords in it; where local files are allowed also file:///folder`,
  (text) => {
    if (text.length > 2048 || /[\p{Cc}\\]/u.test(text)) return undefined;
    const [, scheme = '', authority = '', inStore = '/'] = STORE_PATH.exec(text) ?? [];
    const path = scheme === '' ? LOCAL_PATH.exec(text)?.[2] : inStore;
    if (path === undefined || path.split('/').includes('..')) return undefined;
    // In Azure's stores the part before @ is a container.
    const named = authority.includes('@') && !/^(abfss?|wasbs)$/.test(scheme);
    return named || (authority.includes(':') && scheme !== 'hdfs') ? undefined : text;
  },
  { type: 'string', maxLength: 2048, pattern: '^([a-z0-9]+://|/)' },
);

export function isLocal(path: string): boolean {
  return LOCAL_PATH.test(path);
}

/** Spark reads such signs as patterns of names. */
export function hasPattern(path: string): boolean {
  return /[*?[\]{}]/.test(path);
}

export const memory: TextType<string> = textType(
  'an amount of memory such as 512m or 4g, from 512m to 1024g',
  (text) => {
    if (!/^[1-9]\d{0,6}[mg]$/.test(text)) return undefined;
    const amount = memoryMib(text);
    return amount >= 512 && amount <= 1024 * 1024 ? text : undefined;
  },
  { type: 'string', pattern: '^[1-9]\\d{0,6}[mg]$' },
);

export const formats = ['parquet', 'csv', 'json', 'orc', 'avro', 'delta', 'text'] as const;
export type Format = (typeof formats)[number];
export const format = choice(...formats);

/** SQL, and where it stands in the manifest. */
export interface SqlText {
  readonly text: string;
  /** Of its first character, counted from 1. */
  readonly line: number;
  readonly column: number;
  /** It stands there as it is, each of its lines from this column on. */
  readonly literal: boolean;
}

const LONGEST_OPTION = 4096;
const optionAllowed = `text of at most ${LONGEST_OPTION} characters, a number, true or false`;

/** Spark takes all of its options as text. */
export const optionValue: Schema<string> = {
  allowed: optionAllowed,
  shape: { kind: 'scalar', nothing: false },
  read(value, reader) {
    if (value.kind === 'text' && value.text.length <= LONGEST_OPTION) return value.text;
    return reader.refuse(value.place, `${describe(value)} is not ${optionAllowed}`);
  },
};

const sqlAllowed = 'a statement of SQL';

export const sql: Schema<SqlText> = {
  allowed: sqlAllowed,
  shape: {
    kind: 'text',
    type: textType(sqlAllowed, (text) => text, { type: 'string', pattern: '\\S' }),
  },
  read(value, reader) {
    if (value.kind !== 'text' || value.text.trim() === '') {
      return reader.refuse(value.place, `${describe(value)} is not ${sqlAllowed}`);
    }
    const { place, literal } = value.first ?? { place: value.place, literal: false };
    return { text: value.text, line: place.line ?? 1, column: place.column ?? 1, literal };
  },
};
