/** Stock PySpark as a child process that does what a test tells it (test/e2e/python/client.py). */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { PySparkError, type ErrorReply } from './pyspark-error.js';
import type { RowGate } from './row-gate.js';
import { Running } from './running.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const STDERR_KEPT = 100_000;

const clients = {
  '4': { variable: 'SPARK_GATEWAY_PYTHON', python: '.local/venv/bin/python' },
  '4.0': { variable: 'SPARK_GATEWAY_PYTHON_4_0', python: '.local/venv-4.0/bin/python' },
  '3.5': { variable: 'SPARK_GATEWAY_PYTHON_3_5', python: '.local/venv-3.5/bin/python' },
} as const;

/** A client with a server beside it (`sparkHome`): the newest 4.x, and 3.5. */
export type PySparkVersion = '4' | '3.5';
/** '4.0': a client alone. */
export type PySparkClientVersion = keyof typeof clients;

/** The Python that this PySpark is installed in. */
export function pythonOf(version: PySparkClientVersion): string {
  const { variable, python } = clients[version];
  return process.env[variable] ?? `${root}${python}`;
}

export interface SessionIdentity {
  readonly sessionId: string;
  readonly userId: string;
}

export interface QueryResult {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
}

export interface SizedResult {
  readonly rows: number;
  /** Of all ids: n (n - 1) / 2 when nothing is lost or doubled. */
  readonly sum: number;
  readonly bytes: number;
}

export type StreamEvent =
  | { readonly type: 'row'; readonly row: readonly unknown[] }
  | {
      readonly type: 'progress';
      readonly operationId: string;
      readonly tasks: number;
      readonly completed: number;
      readonly inflight: number;
      readonly done: boolean;
    };

export interface RawRequest {
  /** `host:port`; no TLS. */
  readonly target: string;
  /** Last segment of the gRPC path. */
  readonly method: string;
  readonly sessionId?: string;
  readonly userId?: string;
  /** The other fields of the request, in protobuf's JSON form. */
  readonly message?: Readonly<Record<string, unknown>>;
  /** A name may occur twice. */
  readonly metadata?: readonly (readonly [name: string, value: string])[];
  readonly timeoutSeconds?: number;
  readonly compression?: 'gzip' | 'deflate';
}

export interface RawResult {
  /** In protobuf's JSON form. */
  readonly responses: readonly Readonly<Record<string, unknown>>[];
  readonly trailing: readonly (readonly [name: string, value: string])[];
}

export interface RawEvent {
  readonly type: 'response';
  readonly response: Readonly<Record<string, unknown>>;
}

export interface ConnectOptions {
  /** `create` (default): a new session; `getOrCreate`: as a notebook; `helper`: clients/python. */
  readonly how?: 'create' | 'getOrCreate' | 'helper';
  /** How often a call is tried again at most, instead of PySpark's 15 times. */
  readonly retries?: number;
  /** Bytes that it sends in one message at most, instead of 128 MiB (PySpark 4, `create`). */
  readonly longestMessage?: number;
}

interface Reply {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: ErrorReply;
  readonly event?: unknown;
}

/** Commands run at the same time unless the test waits between them; they reject with PySparkError. */
export class PySpark {
  /** What the program wrote to standard error, its end. */
  stderr = '';
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #running = new Map<number, Running<unknown, unknown>>();
  readonly #exited: Promise<unknown>;
  #lastId = 0;

  private constructor(child: ChildProcessByStdio<Writable, Readable, Readable>) {
    this.#child = child;
    this.#exited = once(child, 'close').then(() => this.#failAll('PySpark has ended'));
    child.stderr.on('data', (chunk: Buffer) => {
      this.stderr = (this.stderr + chunk.toString()).slice(-STDERR_KEPT);
    });
    createInterface({ input: child.stdout }).on('line', (line) => this.#onReply(line));
    child.stdin.on('error', () => this.#failAll('PySpark no longer reads'));
  }

  /** Starts a client; resolves when PySpark is imported. */
  static async start(
    version: PySparkClientVersion = '4',
    env: Readonly<Record<string, string>> = {},
  ): Promise<PySpark> {
    const child = spawn(pythonOf(version), [`${root}test/e2e/python/client.py`], {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const failed = once(child, 'error').then(([error]: unknown[]) => {
      throw error;
    });
    const pyspark = new PySpark(child);
    const started = pyspark.#expect(0);
    await Promise.race([started.result, failed]);
    return pyspark;
  }

  /** Makes a session and gives it a name. The URL's `user_id` is the user. */
  connect(session: string, url: string, options: ConnectOptions = {}): Promise<SessionIdentity> {
    return this.#call('connect', { session, url, ...options });
  }

  identity(session: string): Promise<SessionIdentity> {
    return this.#call('identity', { session });
  }

  sql(session: string, sql: string): Promise<QueryResult> {
    return this.#call('sql', { session, sql });
  }

  /** Runs a query and tells of each row and of its progress (PySpark 4) as they come. */
  stream(session: string, sql: string): Running<{ readonly rows: number }, StreamEvent> {
    return this.#run('stream', { session, sql });
  }

  /** Runs a query of `rows` rows, each of which comes when the gate lets it. */
  gated(
    session: string,
    gate: RowGate,
    rows: number,
  ): Running<{ readonly rows: number }, StreamEvent> {
    return this.#run('gated', { session, folder: gate.folder, rows });
  }

  createTempView(session: string, name: string, sql: string): Promise<void> {
    return this.#call('createTempView', { session, name, sql });
  }

  /** Fetches a frame of `rows` rows of 1 kB each; `right` of them hold what they should. */
  toPandas(session: string, rows: number): Promise<SizedResult & { readonly right: number }> {
    return this.#call('toPandas', { session, rows });
  }

  /** Fetches a frame of `rows` rows of 60 bytes each. */
  toPandasOf(session: string, rows: number): Promise<SizedResult> {
    return this.#call('toPandasOf', { session, rows });
  }

  /** Uploads a frame of `megabytes` rows of 1 MB each, and has Spark count it. */
  createDataFrame(session: string, megabytes: number): Promise<SizedResult> {
    return this.#call('createDataFrame', { session, megabytes });
  }

  addArtifacts(
    session: string,
    path: string,
    kind: 'file' | 'pyfile' | 'archive' | 'jar' = 'file',
  ): Promise<void> {
    return this.#call('addArtifacts', { session, path, kind });
  }

  /** Reads `module.name` in a Python worker of the driver, as text. */
  udf(session: string, module: string, name: string): Promise<string> {
    return this.#call('udf', { session, module, name });
  }

  /**
   * Starts a query of ten rows a second in batches of one second (test/e2e/python/streaming.py), whose
   * files are in `folder`. The driver is on this machine.
   */
  startStream(
    session: string,
    query: string,
    folder: string,
    sink: 'parquet' | 'foreachBatch',
  ): Promise<{ readonly id: string }> {
    return this.#call('startStream', { session, query, folder, sink });
  }

  /** Notes the streaming queries' events as files `started`, `progress` and `terminated`. */
  listen(session: string, folder: string): Promise<void> {
    return this.#call('listen', { session, folder });
  }

  lastProgress(query: string): Promise<{ readonly batch: number } | null> {
    return this.#call('lastProgress', { query });
  }

  /** Why the query has failed, if it has. */
  streamException(query: string): Promise<string | null> {
    return this.#call('exception', { query });
  }

  stopStream(query: string): Promise<void> {
    return this.#call('stopStream', { query });
  }

  awaitTermination(query: string, seconds: number): Promise<boolean> {
    return this.#call('awaitTermination', { query, seconds });
  }

  activeStreams(session: string): Promise<readonly string[]> {
    return this.#call('activeStreams', { session });
  }

  conf(session: string, key: string, value?: string): Promise<string | null> {
    return this.#call('conf', { session, key, ...(value === undefined ? {} : { value }) });
  }

  /** PySpark 4 or newer. */
  confAll(session: string): Promise<Readonly<Record<string, string>>> {
    return this.#call('confAll', { session });
  }

  interrupt(session: string): Promise<readonly string[]> {
    return this.#call('interrupt', { session });
  }

  /** PySpark 4.1 or newer. */
  clone(session: string, into: string, newSessionId?: string): Promise<SessionIdentity> {
    return this.#call('clone', {
      session,
      into,
      ...(newSessionId === undefined ? {} : { newSessionId }),
    });
  }

  stop(session: string): Promise<void> {
    return this.#call('stop', { session });
  }

  /** One gRPC call that stock PySpark would not make. */
  raw(request: RawRequest): Running<RawResult, RawEvent> {
    return this.#run('raw', { ...request });
  }

  /** Ends the process at once; its sessions are not released. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  #call<Result>(op: string, args: Readonly<Record<string, unknown>>): Promise<Result> {
    return this.#run<Result, never>(op, args).result;
  }

  #run<Result, Event>(op: string, args: Readonly<Record<string, unknown>>): Running<Result, Event> {
    const id = ++this.#lastId;
    const running = this.#expect<Result, Event>(id);
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
      this.#failAll('PySpark has ended');
    } else {
      this.#child.stdin.write(`${JSON.stringify({ id, op, ...args })}\n`);
    }
    return running;
  }

  #expect<Result, Event>(id: number): Running<Result, Event> {
    const running = new Running<Result, Event>();
    this.#running.set(id, running as Running<unknown, unknown>);
    return running;
  }

  #onReply(line: string): void {
    const { id, result, error, event } = JSON.parse(line) as Reply;
    const running = this.#running.get(id);
    if (!running) return;
    if (event !== undefined) {
      running.onEvent(event);
      return;
    }
    this.#running.delete(id);
    if (error) running.onError(new PySparkError(error));
    else running.onResult(result);
  }

  #failAll(reason: string): void {
    for (const running of this.#running.values()) {
      running.onError(new Error(`${reason}:\n${this.stderr.slice(-2000)}`));
    }
    this.#running.clear();
  }
}
