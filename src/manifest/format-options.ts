/**
 * Options of Spark's data sources. Only what is named here goes to Spark: any other option becomes a
 * setting of Hadoop's file systems (`fs.s3a.endpoint` sends credentials elsewhere), `path` replaces the
 * path, and a mistyped one does nothing.
 * https://spark.apache.org/docs/latest/sql-data-sources.html
 * https://docs.delta.io/latest/delta-batch.html
 */
import type { Format } from './texts.js';

const files = [
  'pathGlobFilter',
  'recursiveFileLookup',
  'modifiedBefore',
  'modifiedAfter',
  'ignoreCorruptFiles',
  'ignoreMissingFiles',
];
const writtenFiles = ['maxRecordsPerFile', 'partitionOverwriteMode'];
const dates = ['dateFormat', 'timestampFormat', 'timestampNTZFormat', 'timeZone', 'locale'];
const rebase = ['datetimeRebaseMode', 'int96RebaseMode'];
const csv = ['sep', 'delimiter', 'encoding', 'quote', 'escape', 'header', 'emptyValue', 'lineSep'];
const csvText = ['nullValue', 'charToEscapeQuoteEscaping', 'compression', ...dates];
const spaces = ['ignoreLeadingWhiteSpace', 'ignoreTrailingWhiteSpace'];
const lenient = ['mode', 'columnNameOfCorruptRecord', 'enableDateTimeParsingFallback'];
const tables = ['mergeSchema', 'overwriteSchema', 'replaceWhere', 'userMetadata'];

export const readOptions: Readonly<Record<Format, readonly string[]>> = {
  parquet: [...files, ...rebase, 'mergeSchema'],
  orc: [...files, 'mergeSchema'],
  text: [...files, 'wholetext', 'lineSep', 'encoding'],
  avro: [
    ...files,
    'avroSchema',
    'mode',
    'datetimeRebaseMode',
    'positionalFieldMatching',
    'enableStableIdentifiersForUnionType',
    'recursiveFieldMaxDepth',
  ],
  csv: [
    ...files,
    ...csv,
    ...csvText,
    ...spaces,
    ...lenient,
    'comment',
    'inferSchema',
    'preferDate',
    'enforceSchema',
    'nanValue',
    'positiveInf',
    'negativeInf',
    'maxColumns',
    'maxCharsPerColumn',
    'multiLine',
    'samplingRatio',
    'unescapedQuoteHandling',
  ],
  json: [
    ...files,
    ...dates,
    ...lenient,
    'encoding',
    'lineSep',
    'compression',
    'primitivesAsString',
    'prefersDecimal',
    'allowComments',
    'allowUnquotedFieldNames',
    'allowSingleQuotes',
    'allowNumericLeadingZeros',
    'allowBackslashEscapingAnyCharacter',
    'allowUnquotedControlChars',
    'allowNonNumericNumbers',
    'multiLine',
    'samplingRatio',
    'dropFieldIfAllNull',
  ],
  delta: ['versionAsOf', 'timestampAsOf'],
};

export const writeOptions: Readonly<Record<Format, readonly string[]>> = {
  parquet: [...writtenFiles, 'compression'],
  orc: [...writtenFiles, 'compression'],
  text: [...writtenFiles, 'compression', 'lineSep', 'encoding'],
  avro: [...writtenFiles, 'compression', 'avroSchema', 'recordName', 'recordNamespace'],
  csv: [...writtenFiles, ...csv, ...csvText, ...spaces, 'quoteAll', 'escapeQuotes'],
  json: [...writtenFiles, ...dates, 'compression', 'encoding', 'lineSep', 'ignoreNullFields'],
  delta: [...writtenFiles, ...tables, 'compression', 'txnAppId', 'txnVersion', 'optimizeWrite'],
};

export const tableWriteOptions: readonly string[] = [...writtenFiles, ...tables];
