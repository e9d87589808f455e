/** Variants of local drivers: `spark.a=b; spark_home=/opt/spark-4.3`. */
import { textType } from '../yaml/text-type.js';

const SPARK_HOME = 'spark_home';

export interface LocalVariant {
  readonly name: string;
  /** Where it is another Spark than that of the other drivers. */
  readonly sparkHome?: string;
  readonly conf: Readonly<Record<string, string>>;
}

/** Stays text; `localVariants` reads it. */
export const variantConf = textType(
  'Spark configuration such as "spark.a=1; spark.b=2", with spark_home=<path> for another Spark',
  (written) => (parse(written) === undefined ? undefined : written),
);

export function localVariants(settings: {
  readonly drivers: { readonly local: { readonly variants: Readonly<Record<string, string>> } };
}): LocalVariant[] {
  return Object.entries(settings.drivers.local.variants).map(([name, written]) => {
    const { [SPARK_HOME]: sparkHome, ...conf } = parse(written) ?? {};
    return { name, ...(sparkHome === undefined ? {} : { sparkHome }), conf };
  });
}

function parse(written: string): Record<string, string> | undefined {
  const pairs = written.split(';').map((pair) => /^\s*(spark[\w.-]+)=(.*\S)\s*$/.exec(pair));
  const conf: Record<string, string> = {};
  for (const pair of pairs) {
    const [, key, value] = pair ?? [];
    if (key === undefined || value === undefined) return undefined;
    if (key !== SPARK_HOME && !key.startsWith('spark.')) return undefined;
    conf[key] = value;
  }
  return conf;
}
