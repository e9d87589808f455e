// The tables of values in the charts' READMEs, from values.yaml and values.schema.json.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { parse } from 'yaml';
import { inRoot } from '../setup/paths.js';

export const charts = [
  'charts/spark-gateway',
  'charts/spark-4.1',
  'charts/spark-3.5/charts/spark-connect',
  'charts/spark-3.5/charts/spark-standalone',
];

/** Between these lines of a README its table is. */
const BEGIN = '<!-- values: npm run charts -->';
const END = '<!-- end of values -->';
/** Longer defaults are left to values.yaml. */
const LONGEST = 60;

/** @returns {Promise<[file: string, text: string][]>} */
export async function valueTables() {
  return Promise.all(
    charts.map(async (chart) => {
      const file = inRoot(chart, 'README.md');
      const text = readFileSync(file, 'utf8');
      const [before, rest = ''] = text.split(BEGIN);
      const [, after = ''] = rest.split(END);
      const table = [
        '| value | default | what |',
        '| --- | --- | --- |',
        ...leaves(join(dirname(file))).map(
          ({ path, value, description }) =>
            `| \`${path}\` | ${shown(value)} | ${description.replaceAll('|', '\\|')} |`,
        ),
      ].join('\n');
      const made = `${before}${BEGIN}\n\n${table}\n\n${END}${after}`;
      return [file, await format(made, { ...(await resolveConfig(file)), filepath: file })];
    }),
  );
}

/**
 * Every value that the schema describes: its path, default and description.
 * @param {string} folder of the chart
 * @throws Error when values.yaml and the schema do not name the same
 */
export function leaves(folder) {
  const values = parse(readFileSync(join(folder, 'values.yaml'), 'utf8'));
  const schema = JSON.parse(readFileSync(join(folder, 'values.schema.json'), 'utf8'));
  return walk(schema, values, '');
}

function walk(schema, values, prefix) {
  const known = Object.entries(schema.properties ?? {});
  for (const name of Object.keys(values)) {
    if (!(name in schema.properties)) throw new Error(`${prefix}${name} is not in the schema.`);
  }
  return known.flatMap(([name, one]) => {
    const path = `${prefix}${name}`;
    if (one.description !== undefined) {
      // What only a parent chart gives has no default here.
      return name in values ? [{ path, value: values[name], description: one.description }] : [];
    }
    if (!one.properties) throw new Error(`${path} has no description.`);
    return walk(one, values[name] ?? {}, `${path}.`);
  });
}

function shown(value) {
  const text = JSON.stringify(value);
  return text.length > LONGEST ? 'see values.yaml' : `\`${text}\``;
}
