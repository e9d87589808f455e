/** BatchService of a control plane over real gRPC, whose jobs a test moves on; it misbehaves as it is told. */
import { create } from '@bufbuild/protobuf';
import { type sendUnaryData, type ServerUnaryCall, type ServerWritableStream } from '@grpc/grpc-js';
import {
  BatchService,
  type CreateSparkApplicationRequest,
  type CreateSparkApplicationResponse,
  CreateSparkApplicationResponseSchema,
  type DeleteSparkApplicationRequest,
  type DeleteSparkApplicationResponse,
  DeleteSparkApplicationResponseSchema,
  type GetSparkApplicationStatusRequest,
  type GetSparkApplicationStatusResponse,
  GetSparkApplicationStatusResponseSchema,
  type Job,
  type ListSparkApplicationsRequest,
  type ListSparkApplicationsResponse,
  ListSparkApplicationsResponseSchema,
  type StreamSparkApplicationLogsRequest,
  type StreamSparkApplicationLogsResponse,
  StreamSparkApplicationLogsResponseSchema,
} from '#gen/spark_gateway/v1/batch_pb.js';
import { serviceDefinition } from '../../src/lib/grpc/channels.js';
import { GrpcServer } from '../../src/lib/grpc/grpc-server.js';
import { toServiceError } from '../../src/lib/grpc/status-details.js';
import { serverCredentials, type TlsFiles } from '../../src/lib/grpc/tls.js';
import { systemClock } from '../../src/model/clock.js';
import { GatewayError } from '../../src/model/errors.js';
import { hasEnded, type JobState } from '../../src/model/job.js';

export type JobFields = Partial<Omit<Job, '$typeName' | '$unknown'>>;

interface FakeJob {
  fields: JobFields & { readonly jobId: string; state: JobState };
  readonly key: string;
  readonly manifest: string;
  readonly log: string[];
}

/**
 * What becomes of the next call: it is refused; or it is done, and its answer lost.
 */
export type Fate = GatewayError | 'answer lost';

type Stream = ServerWritableStream<
  StreamSparkApplicationLogsRequest,
  StreamSparkApplicationLogsResponse
>;

interface Follower {
  readonly job: FakeJob;
  readonly call: Stream;
  sent: number;
  state: string;
}

const first = new Date('2026-11-29T10:00:00Z').getTime();

export class FakeBatchService {
  readonly jobs = new Map<string, FakeJob>();
  /** Callers as they were told, by method, the newest last. */
  readonly created: CreateSparkApplicationRequest[] = [];
  readonly asked: GetSparkApplicationStatusRequest[] = [];
  readonly listed: ListSparkApplicationsRequest[] = [];
  readonly deleted: DeleteSparkApplicationRequest[] = [];
  readonly streamed: StreamSparkApplicationLogsRequest[] = [];
  fates: Fate[] = [];
  readonly #followers = new Set<Follower>();
  readonly #tls: TlsFiles | undefined;
  #server: GrpcServer | undefined;
  #port = 0;

  private constructor(tls: TlsFiles | undefined) {
    this.#tls = tls;
  }

  static async start(tls?: TlsFiles): Promise<FakeBatchService> {
    const service = new FakeBatchService(tls);
    await service.listen();
    return service;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Begins to serve, again at the same address. */
  async listen(): Promise<void> {
    const server = new GrpcServer({
      name: 'fake',
      address: this.address,
      credentials: serverCredentials(this.#tls, { clock: systemClock }),
      clock: systemClock,
    });
    server.server.addService(serviceDefinition(BatchService), {
      createSparkApplication: this.#unary((request: CreateSparkApplicationRequest) =>
        this.#create(request),
      ),
      getSparkApplicationStatus: this.#unary((request: GetSparkApplicationStatusRequest) =>
        this.#status(request),
      ),
      deleteSparkApplication: this.#unary((request: DeleteSparkApplicationRequest) =>
        this.#delete(request),
      ),
      listSparkApplications: this.#unary((request: ListSparkApplicationsRequest) =>
        this.#list(request),
      ),
      streamSparkApplicationLogs: (call: Stream) => this.#follow(call),
    });
    this.#port = await server.listen();
    this.#server = server;
  }

  /** As a process that is killed: its connections are cut. */
  async stop(): Promise<void> {
    this.#server?.server.forceShutdown();
    this.#followers.clear();
    await this.#server?.close();
  }

  /** Cuts the log streams that are open. */
  cutStreams(): void {
    for (const { call } of this.#followers) {
      call.emit('error', toServiceError(unavailable()));
    }
    this.#followers.clear();
  }

  /** How many log streams are open. */
  get following(): number {
    return this.#followers.size;
  }

  /** A job that is there without having been submitted here. */
  add(jobId: string, fields: JobFields = {}): void {
    const state = (fields.state ?? 'PENDING') as JobState;
    this.jobs.set(jobId, {
      fields: {
        namespace: 'sjns-data-dev',
        team: 'data',
        environment: 'dev',
        user: 'alice@example.com',
        resultCount: -1n,
        createdAtMs: BigInt(first + this.jobs.size * 1_000),
        ...fields,
        jobId,
        state,
      },
      key: jobId,
      manifest: '',
      log: [],
    });
  }

  change(jobId: string, fields: JobFields): void {
    const job = this.#job(jobId);
    job.fields = {
      ...job.fields,
      ...fields,
      jobId,
      state: (fields.state ?? job.fields.state) as JobState,
    };
    this.#tell();
  }

  log(jobId: string, ...lines: string[]): void {
    this.#job(jobId).log.push(...lines);
    this.#tell();
  }

  #create(request: CreateSparkApplicationRequest): CreateSparkApplicationResponse {
    this.created.push(request);
    const { caller, team, environment, manifest, jobName, options } = request;
    const user = caller?.user ?? '';
    const key = JSON.stringify([user, team, environment, options['client_request_id']]);
    const same = [...this.jobs.values()].find((job) => job.key === key);
    if (same && same.manifest !== manifest) {
      throw new GatewayError('JOB_EXISTS', `Job ${same.fields.jobId} has another manifest.`);
    }
    const jobId = same?.fields.jobId ?? `job-${String(this.jobs.size + 1).padStart(26, '0')}`;
    if (!same) {
      this.add(jobId, { user, team, environment, jobName });
      this.jobs.set(jobId, { ...this.#job(jobId), key, manifest });
    }
    const { namespace = '' } = this.#job(jobId).fields;
    return create(CreateSparkApplicationResponseSchema, {
      jobId,
      namespace,
      duplicate: same !== undefined,
    });
  }

  #status(request: GetSparkApplicationStatusRequest): GetSparkApplicationStatusResponse {
    this.asked.push(request);
    const { fields, log } = this.#visible(request);
    const logLines = request.logLines === 0 ? [] : log.slice(-request.logLines);
    return create(GetSparkApplicationStatusResponseSchema, {
      job: fields,
      logLines,
      logTruncated: logLines.length < log.length,
    });
  }

  #delete(request: DeleteSparkApplicationRequest): DeleteSparkApplicationResponse {
    this.deleted.push(request);
    const { fields } = this.#visible(request);
    if (!hasEnded(fields.state)) this.change(fields.jobId, { state: 'CANCELLED' });
    return create(DeleteSparkApplicationResponseSchema, { job: this.#job(fields.jobId).fields });
  }

  #list(request: ListSparkApplicationsRequest): ListSparkApplicationsResponse {
    this.listed.push(request);
    const { caller, states, team, environment, mine, pageSize, pageToken } = request;
    const size = pageSize || 50;
    const fitting = [...this.jobs.values()]
      .map(({ fields }) => fields)
      .filter((job) => states.length === 0 || states.includes(job.state))
      .filter((job) => team === '' || job.team === team)
      .filter((job) => environment === '' || job.environment === environment)
      .filter((job) => !mine || job.user === caller?.user)
      .toReversed();
    const start = Number(pageToken || 0);
    const end = start + size;
    return create(ListSparkApplicationsResponseSchema, {
      jobs: fitting.slice(start, end),
      nextPageToken: end < fitting.length ? String(end) : '',
    });
  }

  #follow(call: Stream): void {
    this.streamed.push(call.request);
    try {
      const job = this.#visible(call.request);
      const { after } = call.request;
      const follower = {
        job,
        call,
        sent: after === '' ? 0 : Number(after.split('.').at(-1)),
        state: '',
      };
      this.#followers.add(follower);
      for (const event of ['cancelled', 'close']) {
        call.on(event, () => this.#followers.delete(follower));
      }
      this.#tell();
    } catch (error) {
      call.emit('error', toServiceError(error));
    }
  }

  #tell(): void {
    for (const follower of this.#followers) {
      const { call, job, sent } = follower;
      const { fields, log } = this.#job(job.fields.jobId);
      const lines = log.slice(sent).map((text, at) => ({
        position: `1.2026-11-29T10:00:00.000000000Z.${sent + at + 1}`,
        text,
      }));
      if (lines.length > 0 || follower.state !== fields.state) {
        const { state } = fields;
        call.write(create(StreamSparkApplicationLogsResponseSchema, { lines, state }));
      }
      Object.assign(follower, { sent: log.length, state: fields.state });
      if (hasEnded(fields.state) || !call.request.follow) {
        this.#followers.delete(follower);
        call.end();
      }
    }
  }

  #job(jobId: string): FakeJob {
    const job = this.jobs.get(jobId);
    if (!job) throw new GatewayError('JOB_UNKNOWN', `There is no job ${jobId} of yours.`);
    return job;
  }

  /** Only its owner sees a job here. */
  #visible({
    jobId,
    caller,
  }: {
    readonly jobId: string;
    readonly caller?: { user: string } | undefined;
  }): FakeJob {
    const job = this.#job(jobId);
    if (caller?.user === job.fields.user) return job;
    throw new GatewayError('JOB_UNKNOWN', `There is no job ${jobId} of yours.`);
  }

  #unary<Request, Response>(work: (request: Request) => Response) {
    return (
      { request }: ServerUnaryCall<Request, Response>,
      callback: sendUnaryData<Response>,
    ): void => {
      const fate = this.fates.shift();
      try {
        if (fate instanceof GatewayError) throw fate;
        const response = work(request);
        if (fate === 'answer lost') throw unavailable();
        callback(null, response);
      } catch (error) {
        callback(toServiceError(error));
      }
    };
  }
}

export function unavailable(): GatewayError {
  return new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'No control plane leads now.', {
    retryAfterMs: 2_000,
  });
}
