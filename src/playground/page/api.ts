/** Requests to the Playground. All reject with an ApiError. */
import { ask, type Failure, failureOf, type ReadFailure } from '../../lib/page/request.js';
import { isObject } from '../../model/json.js';
import type {
  CancelView,
  ChoicesView,
  JobListView,
  JobStatusView,
  PlaygroundMeView,
  ProblemPlaceView,
  ResultsView,
  SampleView,
  SubmitBody,
  SubmittedView,
} from '../../model/playground-api.js';

const ROOT = '/api/v1/playground';

export const api = {
  me: () => get<PlaygroundMeView>('me'),
  choices: () => get<ChoicesView>('options'),
  samples: () => get<readonly SampleView[]>('samples'),
  status: (id: string) => get<JobStatusView>(`status/${encodeURIComponent(id)}`),
  results: (id: string) => get<ResultsView>(`results/${encodeURIComponent(id)}`),
  jobs: (query: URLSearchParams) => get<JobListView>(`jobs?${query.toString()}`),
  /** @param key the same for each try of one submission, so that it makes one job */
  run: (body: SubmitBody, key: string, forgeryToken: string) =>
    post<SubmittedView>('run', body, { ...proof(forgeryToken), 'idempotency-key': key }),
  cancel: (id: string, forgeryToken: string) =>
    post<CancelView>(`cancel/${encodeURIComponent(id)}`, {}, proof(forgeryToken)),
};

/** The stream of a job's log, from behind the event with this id. */
export async function openLog(
  id: string,
  lastEventId: string | undefined,
  signal: AbortSignal,
): Promise<Response> {
  const headers = {
    accept: 'text/event-stream',
    ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
  };
  const response = await fetch(`${ROOT}/logs/${encodeURIComponent(id)}`, { headers, signal });
  if (!response.ok) throw await failureOf(response, readProblem);
  return response;
}

/** Places in the manifest that a refusal names. */
export function placesOf(body: unknown): readonly ProblemPlaceView[] {
  const errors = isObject(body) ? body['errors'] : undefined;
  if (!Array.isArray(errors)) return [];
  return errors
    .filter(isObject)
    .flatMap(({ line, column = 1, path = '', detail }) =>
      typeof line === 'number' && typeof detail === 'string'
        ? [{ line, column: Number(column), path: String(path), message: detail }]
        : [],
    );
}

function get<T>(path: string): Promise<T> {
  return ask<T>(`${ROOT}/${path}`, {}, readProblem);
}

function post<T>(path: string, body: unknown, more: Record<string, string>): Promise<T> {
  const headers = { 'content-type': 'application/json', ...more };
  return ask<T>(
    `${ROOT}/${path}`,
    { method: 'POST', headers, body: JSON.stringify(body) },
    readProblem,
  );
}

/** That the request comes from this page. */
function proof(forgeryToken: string): Record<string, string> {
  return { 'x-spark-console-token': forgeryToken };
}

/** RFC 9457; what fails before the Playground answers has the admin API's form. */
const readProblem: ReadFailure = (body): Failure | undefined => {
  if (!isObject(body)) return undefined;
  const { code, detail, error } = body;
  if (typeof code === 'string' && typeof detail === 'string') return { code, message: detail };
  const { code: other, message } = isObject(error) ? error : {};
  return typeof other === 'string' && typeof message === 'string'
    ? { code: other, message }
    : undefined;
};
