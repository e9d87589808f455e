/** Driver templates from their YAML text. */
import { dirname } from 'node:path';
import type { Logger } from 'pino';
import { parse } from 'yaml';
import { readNamedText } from '../../lib/files/files.js';
import { parseYaml } from '../../lib/yaml/yaml-tree.js';
import { formatProblems } from '../../lib/yaml/problem.js';
import { Reader } from '../../lib/yaml/schema.js';
import type { Clock, Timer } from '../../model/clock.js';
import { refuseSessionTimeout } from '../../model/connect-conf.js';
import { GatewayError, reasonOf } from '../../model/errors.js';
import { driverSessionTimeoutMs } from '../../model/driver.js';
import { isSpark3, refuseSessionTtl } from '../../model/spark-forgets.js';
import { type DriverTemplate, templateDocument, type TemplateEntry } from './template.js';

interface DriverTemplates {
  /**
   * The first template of this name, or without a name, whose `namespaces` fit; undefined: the
   * gateway makes no such drivers there.
   */
  readonly template: (namespace: string, name?: string) => DriverTemplate | undefined;
  /** Whether drivers that others run in this namespace count. */
  readonly trusts: (namespace: string) => boolean;
}

/**
 * Throws SETTINGS_INVALID whose message holds every mistake, one on each line. `file` is shown in it.
 * `sessionTtlMs`: how long the gateway keeps an idle session, which its driver must know for longer.
 */
export function compileTemplates(
  written: string,
  file: string,
  sessionTtlMs: number,
): DriverTemplates {
  const reader = new Reader(dirname(file));
  const parsed = parseYaml(written, file);
  reader.problems.push(...parsed.problems);
  const document = parsed.wellFormed ? templateDocument.read(parsed.value, reader) : undefined;
  for (const entry of document?.templates ?? []) check(entry, reader, sessionTtlMs);
  if (!document || reader.problems.length > 0) {
    throw new GatewayError('SETTINGS_INVALID', formatProblems(reader.problems));
  }
  // Objects of the Kubernetes API need YAML's own numbers and booleans, which settings are read without.
  const typed: { templates: readonly Readonly<Record<string, never>>[] } = parse(written);
  const templates = document.templates.map((entry, index) => ({
    name: entry.name,
    matches: matcher(entry.namespaces),
    template: Object.freeze({
      ...compile(entry, typed.templates[index] ?? {}),
      ...(isSpark3(entry.spark_version)
        ? {}
        : { sessionTimeoutMs: driverSessionTimeoutMs(sessionTtlMs) }),
    }),
  }));
  const trusts = matcher(document.trusted_namespaces);
  return {
    template: (namespace, name) =>
      templates.find((entry) => entry.name === name && entry.matches(namespace))?.template,
    trusts,
  };
}

function check(entry: TemplateEntry, reader: Reader, sessionTtlMs: number): void {
  const forgets = refuseSessionTtl(entry.spark_version, sessionTtlMs);
  if (forgets !== undefined) reader.refuseAt(entry, 'spark_version', forgets);
  if (entry.kind === 'SparkApplication' && !entry.main) {
    reader.refuseAt(
      entry,
      'kind',
      'a SparkApplication needs "main": a program that starts a SparkSession and stays alive',
    );
  }
  if (
    entry.driver_token === true &&
    isSpark3(entry.spark_version) &&
    entry.driver_fence === 'none'
  ) {
    reader.refuseAt(entry, 'driver_token', 'driver_token needs Spark 4 or the driver fence');
  }
  const timeout = refuseSessionTimeout(Object.fromEntries(entry.spark_conf), sessionTtlMs);
  if (timeout !== undefined) {
    reader.refuseAt(entry, 'spark_conf', timeout);
  }
  const allocation = entry.dynamic_allocation;
  if (allocation && allocation.min_executors > allocation.max_executors) {
    reader.refuseAt(allocation, 'min_executors', 'min_executors must not exceed max_executors');
  }
  for (const name of entry.spark_conf.keys()) {
    if (/token|secret|password/i.test(name)) {
      reader.refuseAt(
        entry,
        'spark_conf',
        `every client can read ${name}: hand it over in "env" from a Secret`,
      );
    }
  }
}

function compile(entry: TemplateEntry, raw: Readonly<Record<string, never>>): DriverTemplate {
  const { dynamic_allocation: allocation, unity_catalog: unity, main } = entry;
  return defined<DriverTemplate>({
    kind: entry.kind,
    sparkVersion: entry.spark_version,
    image: entry.image,
    imagePullPolicy: entry.image_pull_policy,
    imagePullSecrets: entry.image_pull_secrets,
    serviceAccount: entry.service_account,
    driver: entry.driver,
    executor: entry.executor,
    dynamicAllocation: allocation
      ? defined<NonNullable<DriverTemplate['dynamicAllocation']>>({
          minExecutors: allocation.min_executors,
          maxExecutors: allocation.max_executors,
          initialExecutors: allocation.initial_executors,
          shuffleTrackingTimeoutMs: allocation.shuffle_tracking_timeout,
        })
      : undefined,
    sparkConf: Object.fromEntries(entry.spark_conf),
    hadoopConf: Object.fromEntries(entry.hadoop_conf),
    env: Object.fromEntries(entry.env),
    labels: Object.fromEntries(entry.labels),
    annotations: Object.fromEntries(entry.annotations),
    nodeSelector: Object.fromEntries(entry.node_selector),
    priorityClass: entry.priority_class,
    volumes: raw['volumes'],
    volumeMounts: raw['volume_mounts'],
    sidecars: raw['sidecars'],
    tolerations: raw['tolerations'],
    affinity: raw['affinity'],
    podSecurityContext: raw['pod_security_context'],
    unityCatalog: unity && {
      catalog: unity.catalog,
      uri: unity.uri,
      token: unity.token,
      tokenEnv: unity.token_env,
    },
    openTelemetry: entry.open_telemetry && {
      image: entry.open_telemetry.image,
      configMap: entry.open_telemetry.config_map,
    },
    fluentBit: entry.fluent_bit && {
      image: entry.fluent_bit.image,
      configMap: entry.fluent_bit.config_map,
    },
    driverToken: entry.driver_token,
    driverFence: entry.driver_fence,
    disruptionBudget: entry.disruption_budget,
    main: main
      ? defined<NonNullable<DriverTemplate['main']>>({
          type: main.type,
          file: main.file,
          class: main.class,
          arguments: main.arguments,
          configMap: main.config_map,
        })
      : undefined,
  });
}

/** Drops the fields that are undefined. */
function defined<T extends object>(fields: { [K in keyof T]: T[K] | undefined }): T {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- fields that T requires are set by every caller
  return Object.fromEntries(entries) as T;
}

function matcher(patterns: readonly string[]): (namespace: string) => boolean {
  const expressions = patterns.map(
    (pattern) => new RegExp(`^${pattern.replaceAll('*', '[a-z0-9-]*')}$`),
  );
  return (namespace) => expressions.some((expression) => expression.test(namespace));
}

// The file of driver templates as it is now: read again and again, the last good version in force.

export interface WatchedTemplatesOptions {
  readonly path: string;
  readonly sessionTtlMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called after another version came into force. */
  readonly onChange: () => void;
}

/** Kubernetes itself takes up to a minute to bring a changed ConfigMap into a pod. */
const REREAD_MS = 10_000;

export class WatchedTemplates implements DriverTemplates {
  readonly #options: WatchedTemplatesOptions;
  #text: string;
  #current: DriverTemplates;
  #problem: string | undefined;
  #timer: Timer | undefined;
  #closed = false;

  private constructor(options: WatchedTemplatesOptions, text: string) {
    this.#options = options;
    this.#text = text;
    this.#current = compileTemplates(text, options.path, options.sessionTtlMs);
    this.#readSoon();
  }

  /** Rejects with SETTINGS_INVALID when the file cannot be used. */
  static async open(options: WatchedTemplatesOptions): Promise<WatchedTemplates> {
    return new WatchedTemplates(options, await readTemplates(options.path));
  }

  readonly template = (namespace: string, variant?: string): DriverTemplate | undefined =>
    this.#current.template(namespace, variant);

  readonly trusts = (namespace: string): boolean => this.#current.trusts(namespace);

  /** Why the file as it is now is not in force. */
  get problem(): string | undefined {
    return this.#problem;
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #readSoon(): void {
    this.#timer = this.#options.clock.setTimer(REREAD_MS, () => void this.#reread());
  }

  async #reread(): Promise<void> {
    const { path, sessionTtlMs, logger, onChange } = this.#options;
    try {
      const text = await readTemplates(path);
      if (text !== this.#text) {
        this.#current = compileTemplates(text, path, sessionTtlMs);
        this.#text = text;
        logger.info({ path }, 'driver templates read again');
        onChange();
      }
      this.#problem = undefined;
    } catch (error) {
      const problem = reasonOf(error);
      if (problem !== this.#problem) {
        logger.error(`${problem}\nThe last good version of the driver templates stays in force.`);
      }
      this.#problem = problem;
    }
    if (!this.#closed) this.#readSoon();
  }
}

function readTemplates(path: string): Promise<string> {
  return readNamedText(path, 'SETTINGS_INVALID', 'the file of driver templates');
}
