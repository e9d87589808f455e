/** Manifests to begin with. */
import type { SampleView } from '../model/playground-api.js';

/** @param team whose the samples are; an author puts in their own. */
function manifest(name: string, coreEtl: string): string {
  return `apiVersion: dcp.pedregal.doordash.com/v1
kind: SparkJob
metadata:
  name: ${name}
  team: data
spec:
  engine:
    version: "4.1"
  coreEtl:
${coreEtl}`;
}

export const samples: readonly SampleView[] = [
  {
    name: 'first-rows',
    title: 'A few rows, and SQL over them',
    manifest: manifest(
      'first-rows',
      `    sources:
      # Rows that stand here: for trying things out.
      - name: orders
        rows:
          - {id: 1, city: Berlin, amount: 12.5}
          - {id: 2, city: Paris, amount: 20.0}
          - {id: 3, city: Berlin, amount: 7.25}
    transforms:
      # What the last one selects is shown as the result.
      - name: by_city
        sql: |
          SELECT city, count(*) AS orders, sum(amount) AS total
          FROM orders
          GROUP BY city
          ORDER BY total DESC
`,
    ),
  },
  {
    name: 'parameters',
    title: 'Parameters, and steps that use each other',
    manifest: manifest(
      'parameters',
      `    # In SQL as :least and :label. They are values, never pieces of SQL.
    parameters:
      least: 10
      label: big
    sources:
      - name: orders
        rows:
          - {id: 1, amount: 12}
          - {id: 2, amount: 8}
          - {id: 3, amount: 30}
    transforms:
      - name: chosen
        sql: SELECT id, amount FROM orders WHERE amount >= :least
      - name: labelled
        sql: SELECT id, amount, :label AS label FROM chosen ORDER BY id
`,
    ),
  },
  {
    name: 'many-rows',
    title: 'A million rows, counted by Spark',
    manifest: manifest(
      'many-rows',
      `    transforms:
      - name: numbers
        sql: SELECT id, id % 7 AS weekday FROM range(1000000)
      - name: by_weekday
        sql: |
          SELECT weekday, count(*) AS days, max(id) AS newest
          FROM numbers
          GROUP BY weekday
          ORDER BY weekday
    resources:
      executor: {cores: 2, memory: 2g, instances: 2}
`,
    ),
  },
  {
    name: 'table-to-table',
    title: 'From a table into a table, by day',
    manifest: manifest(
      'table-to-table',
      `    parameters:
      day: "2026-11-29"
    sources:
      - name: orders
        table: lake.raw.orders
    transforms:
      - name: totals
        sql: |
          SELECT region, day, sum(amount) AS total
          FROM orders
          WHERE day = :day
          GROUP BY region, day
    sinks:
      # In the sandbox this goes into a folder of the job's own.
      - table: lake.reports.totals
        mode: append
        partitionBy: [day]
`,
    ),
  },
];
