/** A manifest with one of everything. */
export function manifestText(): string {
  return `apiVersion: dcp.pedregal.doordash.com/v1
kind: SparkJob
metadata:
  name: daily totals
  team: data
spec:
  engine:
    version: "3.5"
  coreEtl:
    parameters:
      day: 2026-11-29
      least: 2.50
      limit: 100
    sources:
      - name: orders
        path: s3a://lake/raw/orders
        format: csv
        options:
          header: true
        schema: id BIGINT, region STRING, amount DOUBLE, day DATE
      - name: regions
        rows:
          - {region: eu, label: Europe}
          - {region: us, label: null}
    transforms:
      - name: totals
        sql: |
          SELECT label,
                 sum(amount) AS total
            FROM orders JOIN regions USING (region)
           WHERE day = :day

           GROUP BY label
    sinks:
      - from: totals
        table: lake.reports.totals
        mode: error
        partitionBy: [label]
`;
}

/** The text with something else in one place. */
export function replaced(text: string, old: string, by: string): string {
  if (text.split(old).length !== 2) throw new TypeError(`not once in the text: ${old}`);
  return text.replace(old, () => by);
}
