/** SparkRunnerService and JobService: what callers ask, asked of the control plane. Nothing is remembered. */
import { randomUUID } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import type { Server } from '@grpc/grpc-js';
import {
  BatchService,
  CreateSparkApplicationRequestSchema,
  DeleteSparkApplicationRequestSchema,
  GetSparkApplicationStatusRequestSchema,
  type Job,
  ListSparkApplicationsRequestSchema,
  StreamSparkApplicationLogsRequestSchema,
} from '#gen/spark_gateway/v1/batch_pb.js';
import {
  type DescribeJobRequest,
  type DescribeJobResponse,
  DescribeJobResponseSchema,
  JobService,
  type ListJobsRequest,
  type ListJobsResponse,
  ListJobsResponseSchema,
  type StreamLogsRequest,
  type StreamLogsResponse,
  StreamLogsResponseSchema,
} from '#gen/spark_gateway/v1/jobs_pb.js';
import {
  type CancelRequest,
  type CancelResponse,
  CancelResponseSchema,
  type CheckRequest,
  type CheckResponse,
  CheckResponseSchema,
  SparkRunnerService,
  type SubmitRequest,
  type SubmitResponse,
  SubmitResponseSchema,
} from '#gen/sparkrunner/sparkrunner_pb.js';
import { serviceDefinition } from '../lib/grpc/channels.js';
import type { Storage } from '../lib/storage/storage.js';
import { GatewayError } from '../model/errors.js';
import { jobErrorText, jobReasonOf, jobStateOf } from '../model/job.js';
import { DUPLICATE_HEADER } from '../model/names.js';
import { submittingFor } from './caller.js';
import type { ControlPlane } from './control-plane-client.js';
import { type Call, type HandlerOptions, streaming, unary } from './handlers.js';
import { boundedLog, LOG_LINES, logText } from './logs.js';
import { noResults, readResults } from './results.js';

/** What is wrong with a submission, before anybody else is asked. Throws MANIFEST_INVALID, OPTION_INVALID. */
export type Validate = (submission: {
  readonly manifest: string;
  readonly team: string;
  readonly environment: string;
  readonly options: Readonly<Record<string, string>>;
}) => void;

export interface RunnerOptions extends HandlerOptions {
  readonly controlPlane: ControlPlane;
  readonly storage: Storage;
  readonly validate: Validate;
}

/** As long as a call's answer may wait for results: the state alone is worth more than none. */
const RESULTS_TIMEOUT_MS = 10_000;
const REQUEST_ID = 'client_request_id';

export const runnerServices = [SparkRunnerService, JobService];

export function addRunnerServices(server: Server, options: RunnerOptions): void {
  server.addService(serviceDefinition(SparkRunnerService), {
    submit: unary('Submit', options, (request: SubmitRequest, call) =>
      submit(request, call, options),
    ),
    check: unary('Check', options, (request: CheckRequest, call) => check(request, call, options)),
    cancel: unary('Cancel', options, (request: CancelRequest, call) =>
      cancel(request, call, options),
    ),
  });
  server.addService(serviceDefinition(JobService), {
    describeJob: unary('DescribeJob', options, (request: DescribeJobRequest, call) =>
      describe(request, call, options),
    ),
    listJobs: unary('ListJobs', options, (request: ListJobsRequest, call) =>
      list(request, call, options),
    ),
    streamLogs: streaming('StreamLogs', options, (request: StreamLogsRequest, call) =>
      logs(request, call, options),
    ),
  });
}

async function submit(
  request: SubmitRequest,
  call: Call,
  { controlPlane, validate }: RunnerOptions,
): Promise<SubmitResponse> {
  const { manifest, team, environment, jobName } = request;
  validate({ manifest, team, environment, options: request.options });
  // With an id of its own each attempt is the same job.
  const options = { [REQUEST_ID]: randomUUID(), ...request.options };
  const { jobId, namespace, duplicate } = await controlPlane.ask(
    BatchService.method.createSparkApplication,
    create(CreateSparkApplicationRequestSchema, {
      caller: submittingFor(call.caller, request.user),
      manifest,
      team,
      environment,
      jobName,
      options,
    }),
    call,
  );
  if (duplicate) call.sendHeader(DUPLICATE_HEADER, 'true');
  return create(SubmitResponseSchema, { jobId, namespace });
}

async function check(
  { jobId, includeLogs, includeResults }: CheckRequest,
  call: Call,
  options: RunnerOptions,
): Promise<CheckResponse> {
  const found = await statusOf(jobId, includeLogs ? LOG_LINES : 0, call, options);
  const { job } = found;
  const results = includeResults ? await resultsOf(job, call, options) : noResults;
  const { problem } = results;
  const state = jobStateOf(job.state);
  return create(CheckResponseSchema, {
    jobId: job.jobId,
    state,
    sparkUiUrl: job.sparkUiUrl,
    logs: includeLogs ? logText(boundedLog(found.logLines, found.logTruncated)) : '',
    error:
      jobErrorText(state, jobReasonOf(job)) ||
      (problem ? `${problem.code}: ${problem.message}` : ''),
    resultPreview: results.preview,
    resultCount: results.count,
    resultSchema: results.schema,
    outputPath: job.outputPath,
  });
}

async function cancel(
  { jobId }: CancelRequest,
  { caller, ...asking }: Call,
  { controlPlane }: RunnerOptions,
): Promise<CancelResponse> {
  const { job } = await controlPlane.ask(
    BatchService.method.deleteSparkApplication,
    create(DeleteSparkApplicationRequestSchema, { caller, jobId: known(jobId) }),
    asking,
  );
  // A job that ended before stays as it is.
  const state = jobStateOf(job?.state ?? '');
  const success = state !== 'COMPLETED' && state !== 'FAILED';
  return create(CancelResponseSchema, { success });
}

async function describe(
  { jobId, logLines }: DescribeJobRequest,
  call: Call,
  options: RunnerOptions,
): Promise<DescribeJobResponse> {
  const found = await statusOf(jobId, Math.min(logLines, LOG_LINES), call, options);
  const log = boundedLog(found.logLines, found.logTruncated);
  return create(DescribeJobResponseSchema, {
    job: found.job,
    logLines: [...log.lines],
    logTruncated: log.truncated,
  });
}

async function list(
  { team, environment, states, mine, pageSize, pageToken }: ListJobsRequest,
  { caller, ...asking }: Call,
  { controlPlane }: RunnerOptions,
): Promise<ListJobsResponse> {
  const { jobs, nextPageToken } = await controlPlane.ask(
    BatchService.method.listSparkApplications,
    create(ListSparkApplicationsRequestSchema, {
      caller,
      team,
      environment,
      states,
      mine,
      pageSize,
      pageToken,
    }),
    asking,
  );
  return create(ListJobsResponseSchema, { jobs, nextPageToken });
}

async function* logs(
  { jobId, after, follow }: StreamLogsRequest,
  { caller, ...asking }: Call,
  { controlPlane }: RunnerOptions,
): AsyncGenerator<StreamLogsResponse, void> {
  const upstream = controlPlane.stream(
    BatchService.method.streamSparkApplicationLogs,
    create(StreamSparkApplicationLogsRequestSchema, { caller, jobId: known(jobId), after, follow }),
    asking,
  );
  for await (const { lines, gap, state } of upstream) {
    yield create(StreamLogsResponseSchema, { lines, gap, state });
  }
}

interface Found {
  readonly job: Job;
  readonly logLines: readonly string[];
  readonly logTruncated: boolean;
}

async function statusOf(
  jobId: string,
  logLines: number,
  { caller, ...asking }: Call,
  { controlPlane }: RunnerOptions,
): Promise<Found> {
  const { job, ...log } = await controlPlane.ask(
    BatchService.method.getSparkApplicationStatus,
    create(GetSparkApplicationStatusRequestSchema, { caller, jobId: known(jobId), logLines }),
    asking,
  );
  if (!job) throw new GatewayError('INTERNAL', 'The control plane answered without a job.');
  return { job, ...log };
}

function resultsOf(job: Job, { signal, leftMs }: Call, { storage }: RunnerOptions) {
  const timeoutMs = Math.max(0, Math.min(RESULTS_TIMEOUT_MS, Math.floor(leftMs() / 2)));
  return readResults(job, storage, AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]));
}

function known(jobId: string): string {
  if (jobId !== '') return jobId;
  throw new GatewayError('ARGUMENT_INVALID', 'The field "job_id" is empty: say which job.');
}
