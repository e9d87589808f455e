/** The alerts, and their unit tests, https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parse } from 'yaml';

const folder = 'test/monitoring/promtool/alerts';

interface AlertCase {
  readonly name: string;
  readonly alert_rule_test: readonly {
    readonly alertname: string;
    readonly exp_alerts: readonly unknown[];
  }[];
}

export interface AlertCases {
  /** The file's name says which. */
  readonly alert: string;
  readonly file: string;
  readonly tests: readonly AlertCase[];
}

/** The alerts, as Prometheus is given them. */
export interface Rules {
  readonly groups: readonly {
    readonly rules: readonly { readonly alert: string; readonly expr: string }[];
  }[];
}

export function readRules(): Rules {
  return parse(readFileSync('k8s/monitoring/alerts.yaml', 'utf8')) as Rules;
}

export function alertCases(): AlertCases[] {
  return readdirSync(folder).map((name) => {
    const file = join(folder, name);
    const { tests } = parse(readFileSync(file, 'utf8')) as Pick<AlertCases, 'tests'>;
    return { alert: basename(name, '.yaml'), file, tests };
  });
}
