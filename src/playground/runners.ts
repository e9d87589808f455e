/** The Runners that the Playground asks: one for each environment, in the name of whoever is signed in. */
import { createHash } from 'node:crypto';
import type { DescMessage, DescMethod, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import { type ChannelCredentials, Metadata } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { ServerSet } from '../lib/grpc/server-set.js';
import type { Clock } from '../model/clock.js';
import { GatewayError } from '../model/errors.js';
import { GROUP_HEADER } from '../model/names.js';
import type { Caller } from '../model/principal.js';
import { recent } from '../lib/recent.js';

export interface RunnersOptions {
  /** gRPC targets by environment. */
  readonly byEnvironment: Readonly<Record<string, string>>;
  /** For all other environments; undefined: there are no others. */
  readonly fallback: string | undefined;
  readonly credentials: ChannelCredentials;
  /** Name in the Runners' certificate; undefined: the host of the address. */
  readonly serverName: string | undefined;
  /** The request header that names whom the Playground acts for. */
  readonly userHeader: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** In [0, 1), for pauses. Default Math.random. */
  readonly random?: () => number;
}

/** For whom, and for how long. */
export interface Asking {
  readonly caller: Caller;
  readonly signal: AbortSignal;
}

type Method<I extends DescMessage, O extends DescMessage> = DescMethod & {
  readonly input: I;
  readonly output: O;
};

/** With all attempts: a Runner that restarts is waited for. */
const TIMEOUT_MS = 20_000;
/** The log's last lines and the preview. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
const RETRY_MS = 2_000;
const MOST_GROUPS = 500;
/** Where jobs were found, so that not every Runner is asked for each. */
const REMEMBERED_JOBS = 10_000;

export class Runners {
  readonly #byAddress: ReadonlyMap<string, Runner>;
  readonly #options: RunnersOptions;
  /** Addresses by job. */
  readonly #found = recent<string, string>(REMEMBERED_JOBS);

  constructor(options: RunnersOptions) {
    this.#options = options;
    const { byEnvironment, fallback } = options;
    const addresses = new Set(Object.values(byEnvironment));
    if (fallback !== undefined) addresses.add(fallback);
    this.#byAddress = new Map(
      Array.from(addresses, (address) => [address, new Runner(address, options)]),
    );
  }

  /** Throws TEAM_OR_ENVIRONMENT_INVALID for an environment without a Runner. */
  of(environment: string): Runner {
    const { byEnvironment, fallback } = this.#options;
    const own = Object.hasOwn(byEnvironment, environment) ? byEnvironment[environment] : fallback;
    const runner = own === undefined ? undefined : this.#byAddress.get(own);
    if (runner) return runner;
    throw new GatewayError(
      'TEAM_OR_ENVIRONMENT_INVALID',
      `There is no Runner for environment ${JSON.stringify(environment.slice(0, 100))}; there is one for ${Object.keys(byEnvironment).join(', ')}.`,
    );
  }

  /** Each once. */
  all(): readonly Runner[] {
    return [...this.#byAddress.values()];
  }

  isConnected(): boolean {
    return this.all().every((runner) => runner.isConnected());
  }

  /** A job that was made by that Runner. */
  note(jobId: string, runner: Runner): void {
    this.#found.set(jobId, runner.address);
  }

  /**
   * The first answer of a Runner that knows the job. Rejects with JOB_UNKNOWN when none does, and as
   * the asking rejects while one of them is in doubt.
   */
  async find<T>(jobId: string, ask: (runner: Runner) => Promise<T>): Promise<T> {
    const known = this.#byAddress.get(this.#found.get(jobId) ?? '');
    const runners = known ? [known] : this.all();
    let failure: unknown;
    for (const runner of runners) {
      try {
        const answer = await ask(runner);
        this.note(jobId, runner);
        return answer;
      } catch (error) {
        const isUnknown = error instanceof GatewayError && error.code === 'JOB_UNKNOWN';
        if (!isUnknown) failure ??= error;
      }
    }
    throw failure ?? new GatewayError('JOB_UNKNOWN', `There is no job ${jobId} of yours.`);
  }

  close(): void {
    for (const runner of this.all()) runner.close();
  }
}

export class Runner {
  readonly address: string;
  /** Tells it from the others, and shows nobody where it is. */
  readonly id: string;
  readonly #servers: ServerSet;
  readonly #userHeader: string;
  readonly #logger: Logger;

  constructor(address: string, options: RunnersOptions) {
    this.address = address;
    this.id = createHash('sha256').update(address).digest('hex').slice(0, 8);
    this.#userHeader = options.userHeader;
    this.#logger = options.logger;
    this.#servers = new ServerSet({
      ...options,
      addresses: [address],
      maxAnswerBytes: MAX_ANSWER_BYTES,
      passes: ({ code }) => code === 'SHUTTING_DOWN',
      unavailable: (why, cause) => unavailable(why, cause),
    });
  }

  isConnected(): boolean {
    return this.#servers.isConnected();
  }

  /** Rejects with what the Runner says, or with RUNNER_UNAVAILABLE. Whatever is asked must be safe to be asked again. */
  async ask<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    message: MessageInitShape<I>,
    { caller, signal }: Asking,
    onMetadata?: (metadata: Metadata) => void,
  ): Promise<MessageShape<O>> {
    try {
      return await this.#servers.call(method, create(method.input, message), {
        signal,
        timeoutMs: TIMEOUT_MS,
        metadata: () => this.#actingFor(caller),
        ...(onMetadata ? { onMetadata } : {}),
      });
    } catch (error) {
      throw this.#ours(error);
    }
  }

  /** Messages as they come, read no faster than they are taken. */
  async *stream<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    message: MessageInitShape<I>,
    { caller, signal }: Asking,
  ): AsyncGenerator<MessageShape<O>, void> {
    try {
      yield* this.#servers.stream(method, create(method.input, message), {
        signal,
        metadata: () => this.#actingFor(caller),
      });
    } catch (error) {
      throw this.#ours(error);
    }
  }

  close(): void {
    this.#servers.close();
  }

  /** A Runner that does not know the Playground is not the user's to mend, and no 401 of theirs. */
  #ours(error: unknown): unknown {
    if (!(error instanceof GatewayError) || error.code !== 'CALLER_UNKNOWN') return error;
    this.#logger.error(
      { runner: this.address, reason: error.message },
      'a Runner does not let the Playground call',
    );
    return unavailable('it does not let the Playground call', error);
  }

  #actingFor({ principal, groups }: Caller): Metadata {
    const metadata = new Metadata();
    metadata.set(this.#userHeader, encodeURIComponent(principal.subject));
    const told = groups.slice(0, MOST_GROUPS).map((name) => encodeURIComponent(name));
    if (told.length > 0) metadata.set(GROUP_HEADER, told.join(', '));
    return metadata;
  }
}

function unavailable(why: string, cause: unknown): GatewayError {
  return new GatewayError(
    'RUNNER_UNAVAILABLE',
    `The Spark Runner gives no answer now (${why}); try again shortly.`,
    { cause, retryAfterMs: RETRY_MS },
  );
}
