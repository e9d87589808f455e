/** BatchService (proto/spark_gateway/v1/batch.proto) on a grpc-js server: messages to calls and back. */
import { once } from 'node:events';
import { create, type DescMessage, type MessageShape } from '@bufbuild/protobuf';
import type { sendUnaryData, Server, ServerUnaryCall, ServerWritableStream } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import {
  BatchService,
  type BatchCaller as CallerMessage,
  type CreateSparkApplicationRequest,
  CreateSparkApplicationResponseSchema,
  type DeleteSparkApplicationRequest,
  DeleteSparkApplicationResponseSchema,
  type GetSparkApplicationStatusRequest,
  GetSparkApplicationStatusResponseSchema,
  type Job as JobMessage,
  JobSchema,
  type ListSparkApplicationsRequest,
  ListSparkApplicationsResponseSchema,
  type StreamSparkApplicationLogsRequest,
  type StreamSparkApplicationLogsResponse,
  StreamSparkApplicationLogsResponseSchema,
} from '#gen/spark_gateway/v1/batch_pb.js';
import { serviceDefinition } from '../lib/grpc/channels.js';
import { toServiceError } from '../lib/grpc/status-details.js';
import { GatewayError, toGatewayError } from '../model/errors.js';
import type { BatchCaller, BatchJobs, JobView } from './batch-jobs.js';
import { parsePosition } from './log-stream.js';

export interface BatchServiceOptions {
  /** What answers now; throws CONTROL_PLANE_UNAVAILABLE while nothing does. */
  readonly jobs: () => BatchJobs;
  readonly logger: Logger;
}

/** Registers the service. Who may call it is for the server to say. */
export function addBatchService(server: Server, { jobs, logger }: BatchServiceOptions): void {
  const answer = unary(logger);
  server.addService(serviceDefinition(BatchService), {
    createSparkApplication: answer<
      CreateSparkApplicationRequest,
      typeof CreateSparkApplicationResponseSchema
    >(async ({ caller, manifest, team, environment, jobName, options }) => {
      const { record, made } = await jobs().create(callerOf(caller), {
        manifest,
        team,
        environment,
        jobName,
        options,
      });
      const { id, namespace } = record.job;
      return create(CreateSparkApplicationResponseSchema, {
        jobId: id,
        namespace,
        duplicate: !made,
      });
    }),
    getSparkApplicationStatus: answer<
      GetSparkApplicationStatusRequest,
      typeof GetSparkApplicationStatusResponseSchema
    >(async ({ caller, jobId, logLines }) => {
      const by = callerOf(caller);
      const view = jobs().get(by, jobId);
      const log =
        logLines === 0
          ? { lines: [], truncated: false }
          : await jobs().logTail(by, jobId, logLines);
      return create(GetSparkApplicationStatusResponseSchema, {
        job: jobMessage(view),
        logLines: [...log.lines],
        logTruncated: log.truncated,
      });
    }),
    deleteSparkApplication: answer<
      DeleteSparkApplicationRequest,
      typeof DeleteSparkApplicationResponseSchema
    >(async ({ caller, jobId }) =>
      create(DeleteSparkApplicationResponseSchema, {
        job: jobMessage(await jobs().cancel(callerOf(caller), jobId)),
      }),
    ),
    listSparkApplications: answer<
      ListSparkApplicationsRequest,
      typeof ListSparkApplicationsResponseSchema
    >(async ({ caller, team, environment, states, mine, pageSize, pageToken }) => {
      const page = jobs().list(callerOf(caller), {
        team,
        environment,
        states,
        mine,
        pageSize,
        pageToken,
      });
      return create(ListSparkApplicationsResponseSchema, {
        jobs: page.jobs.map((view) => jobMessage(view, { history: false })),
        nextPageToken: page.next,
      });
    }),
    streamSparkApplicationLogs(
      call: ServerWritableStream<
        StreamSparkApplicationLogsRequest,
        StreamSparkApplicationLogsResponse
      >,
    ) {
      const gone = new AbortController();
      call.on('cancelled', () => gone.abort());
      call.on('close', () => gone.abort());
      stream(call, jobs, gone.signal).then(
        () => call.end(),
        (error: unknown) => {
          if (gone.signal.aborted) return;
          told(error, logger);
          call.emit('error', toServiceError(error));
        },
      );
    },
  });
}

async function stream(
  call: ServerWritableStream<StreamSparkApplicationLogsRequest, StreamSparkApplicationLogsResponse>,
  jobs: () => BatchJobs,
  signal: AbortSignal,
): Promise<void> {
  const { caller, jobId, after, follow } = call.request;
  const position = after === '' ? undefined : parsePosition(after);
  if (after !== '' && !position) {
    throw new GatewayError(
      'ARGUMENT_INVALID',
      '"after" is no position of a line: leave it out to begin with the first one.',
    );
  }
  const batches = jobs().streamLog(callerOf(caller), jobId, { after: position, follow, signal });
  for await (const { lines, gap, state } of batches) {
    const message = create(StreamSparkApplicationLogsResponseSchema, {
      lines: lines.map(({ position: at, text }) => ({ position: at, text })),
      gap,
      ...(state === undefined ? {} : { state }),
    });
    if (!call.write(message)) await once(call, 'drain', { signal }).catch(() => undefined);
    if (signal.aborted) return;
  }
}

function unary(logger: Logger) {
  return <Request, Response extends DescMessage>(
      handle: (request: Request) => Promise<MessageShape<Response>>,
    ) =>
    (
      call: ServerUnaryCall<Request, MessageShape<Response>>,
      callback: sendUnaryData<MessageShape<Response>>,
    ): void => {
      handle(call.request).then(
        (response) => callback(null, response),
        (error: unknown) => {
          told(error, logger);
          callback(toServiceError(error));
        },
      );
    };
}

function told(error: unknown, logger: Logger): void {
  if (toGatewayError(error).code === 'INTERNAL') logger.error({ err: error }, 'a job call failed');
}

function callerOf(message: CallerMessage | undefined): BatchCaller {
  if (!message) {
    throw new GatewayError('CALLER_UNKNOWN', 'The Runner did not say which service asks.');
  }
  const { uriSans, dnsSans, subject, user, groups } = message;
  return { uriSans, dnsSans, subject, user, groups };
}

function jobMessage(
  { record, state, reason, attempt, startedAtMs, uiUrl }: JobView,
  { history }: { readonly history: boolean } = { history: true },
): JobMessage {
  const { job, end, endedAtMs, cluster, rowCount } = record;
  return create(JobSchema, {
    jobId: job.id,
    namespace: job.namespace,
    cluster,
    team: job.team,
    environment: job.environment,
    user: job.user,
    jobName: job.jobName,
    state,
    reasonCode: reason?.code ?? '',
    reason: reason?.message ?? '',
    line: reason?.line ?? 0,
    column: reason?.column ?? 0,
    step: reason?.step ?? '',
    attempt,
    createdAtMs: BigInt(job.createdAtMs),
    startedAtMs: BigInt(startedAtMs ?? 0),
    endedAtMs: BigInt(endedAtMs ?? 0),
    deadlineMs: BigInt(job.deadlineMs),
    sparkUiUrl: uiUrl ?? '',
    outputPath: job.outputPath,
    resultCount: rowCount ?? -1n,
    cancelling: endedAtMs === undefined && end?.by === 'user',
    history: history
      ? record.history.map((transition) => ({
          state: transition.state,
          atMs: BigInt(transition.atMs),
          reasonCode: transition.reason?.code ?? '',
          reason: transition.reason?.message ?? '',
        }))
      : [],
    submittedBy: job.submittedBy,
    sandbox: job.sandbox,
  });
}
