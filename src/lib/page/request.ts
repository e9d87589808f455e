/** Requests to the server that the page came from. */

export interface Failure {
  readonly code: string;
  readonly message: string;
}

/** A refusal or a failure; the message is for people. */
export class ApiError extends Error {
  /** 0: no answer came. */
  readonly status: number;
  readonly code: string;
  /** The answer's body, if it was JSON. */
  readonly body: unknown;

  constructor(status: number, { code, message }: Failure, body?: unknown) {
    super(message);
    this.status = status;
    this.code = code;
    this.body = body;
  }
}

/** Reads what an answer that is no success says in its body. undefined: it is in no form that is known. */
export type ReadFailure = (body: unknown) => Failure | undefined;

const ANSWER_WITHIN_MS = 30_000;

/** The JSON of an answer. Rejects with an ApiError. */
export async function ask<T>(path: string, init: RequestInit, read: ReadFailure): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, { signal: AbortSignal.timeout(ANSWER_WITHIN_MS), ...init });
  } catch {
    throw new ApiError(0, { code: 'NO_ANSWER', message: 'The gateway does not answer.' });
  }
  if (!response.ok) throw await failureOf(response, read);
  const body: unknown = await response.json().catch(() => undefined);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the server that serves this page has the same types
  return body as T;
}

/** Why an answer is no success. */
export async function failureOf(response: Response, read: ReadFailure): Promise<ApiError> {
  const { status } = response;
  const body: unknown = await response.json().catch(() => undefined);
  const failure = read(body) ?? {
    code: 'UNREADABLE',
    message: `The gateway answered with status ${status}.`,
  };
  return new ApiError(status, failure, body);
}

/** What went wrong, for people. */
export function messageOf(error: unknown): string {
  return error instanceof ApiError ? error.message : 'It did not succeed.';
}

/** Leaves the page's session in this browser. */
export async function signOut(): Promise<void> {
  await fetch('/auth/sign-out', { method: 'POST' });
}

/** Leads through the sign-in back to what is shown now. */
export function signInPath(): string {
  const query = new URLSearchParams({ return_to: `${location.pathname}${location.search}` });
  return `/auth/sign-in?${query.toString()}`;
}
