/**
 * A Playground whose jobs a test moves as it likes. It speaks the real REST API
 * (src/model/playground-api.ts), serves the real page, and can be slow, cut its streams, refuse, and
 * forget who is signed in.
 */
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { ExecutionContext } from 'ava';
import { pino } from 'pino';
import type { Answer } from '../../src/lib/http/answer.js';
import { notice } from '../../src/lib/http/assets.js';
import type { Exchange, Handler, Routes } from '../../src/lib/http/router.js';
import { startHttpServer } from '../../src/lib/http/http-server.js';
import { parseManifest } from '../../src/manifest/parse.js';
import { hasEnded, type JobState } from '../../src/model/job.js';
import type {
  ChoicesView,
  JobStatusView,
  ProblemView,
  ResultsView,
  SampleView,
  SubmitBody,
} from '../../src/model/playground-api.js';
import { PLAYGROUND_VIEWS, playgroundAssets } from '../../src/playground/playground-assets.js';

const ROOT = '/api/v1/playground';

export interface FakeJob {
  status: JobStatusView;
  readonly log: string[];
  results: ResultsView | undefined;
}

interface OpenStream {
  readonly job: string;
  readonly response: ServerResponse;
  /** How many lines it has been sent. */
  sent: number;
}

export class FakePlayground {
  readonly jobs = new Map<string, FakeJob>();
  readonly submitted: { readonly body: SubmitBody; readonly key: string }[] = [];
  /** Of each request for a log that came: where it was to go on. */
  readonly logRequests: (string | undefined)[] = [];
  choices: ChoicesView = {
    teams: ['ads', 'data'],
    environments: ['local', 'staging'],
    sandbox_environments: ['local'],
    local_paths: false,
    defaults: { team: 'data', environment: 'local' },
  };
  samples: readonly SampleView[] = [];
  user = 'alice@example.com';
  signedIn = true;
  /** Answers before everything else does; undefined: as usual. */
  intercept: (exchange: Exchange) => Promise<Answer | undefined> | Answer | undefined = () =>
    undefined;
  url = '';

  #forgeryToken: string = randomUUID();
  readonly #streams = new Set<OpenStream>();

  static async start(t: ExecutionContext, host: string): Promise<FakePlayground> {
    const playground = new FakePlayground();
    const assets = await playgroundAssets();
    const server = await startHttpServer({
      address: { host, port: 0 },
      routes: {
        ...assets.routes(),
        ...Object.fromEntries(
          PLAYGROUND_VIEWS.map((path) => [
            `GET ${path}`,
            (exchange: Exchange) =>
              playground.signedIn ? assets.page() : redirect(signInPath(exchange)),
          ]),
        ),
        ...playground.#signInRoutes(),
        ...playground.#routes(),
      },
      logger: pino({ enabled: false }),
    });
    playground.url = `http://${host}:${server.port}`;
    t.teardown(() => server.close());
    return playground;
  }

  /** A job as somebody may have submitted it. */
  add(id: string, change: Partial<JobStatusView> = {}): FakeJob {
    const job: FakeJob = { status: { ...newStatus(id), ...change }, log: [], results: undefined };
    this.jobs.set(id, job);
    return job;
  }

  move(id: string, state: JobState, change: Partial<JobStatusView> = {}): void {
    const job = this.#job(id);
    const at = new Date().toISOString();
    const { reason = null } = change;
    job.status = {
      ...job.status,
      state,
      reason,
      history: [...job.status.history, { state, at, ...(reason ? { reason } : {}) }],
      ...(state === 'RUNNING' ? { started_at: at } : {}),
      ...(hasEnded(state) ? { ended_at: at } : {}),
      ...change,
    };
    for (const stream of this.#streamsOf(id)) {
      this.#send(stream);
      stream.response.write(`event: state\ndata: ${JSON.stringify({ state })}\n\n`);
      if (hasEnded(state)) this.#end(stream, state);
    }
  }

  write(id: string, lines: readonly string[]): void {
    this.#job(id).log.push(...lines);
    for (const stream of this.#streamsOf(id)) this.#send(stream);
  }

  /** Cuts every open log stream, in the midst of an event if there is one. */
  cutLogs(): void {
    for (const { response } of this.#streams) {
      response.write('id: 999999\nevent: log\ndata: ["half of an ev');
      response.destroy();
    }
    this.#streams.clear();
  }

  get openLogs(): number {
    return this.#streams.size;
  }

  #job(id: string): FakeJob {
    const job = this.jobs.get(id);
    if (!job) throw new Error(`no job ${id}`);
    return job;
  }

  #streamsOf(id: string): OpenStream[] {
    return [...this.#streams].filter(({ job }) => job === id);
  }

  #send(stream: OpenStream): void {
    const { log } = this.#job(stream.job);
    while (stream.sent < log.length) {
      const lines = log.slice(stream.sent, stream.sent + 500);
      stream.sent += lines.length;
      stream.response.write(`id: ${stream.sent}\nevent: log\ndata: ${JSON.stringify(lines)}\n\n`);
    }
  }

  #end(stream: OpenStream, state: JobState): void {
    stream.response.end(`event: end\ndata: ${JSON.stringify({ state })}\n\n`);
    this.#streams.delete(stream);
  }

  #signInRoutes(): Routes {
    return {
      'GET /auth/sign-in': ({ query }) =>
        notice({
          title: 'Sign in',
          text: 'With the issuer of this test.',
          link: {
            href: `/auth/callback?return_to=${encodeURIComponent(query.get('return_to') ?? '/')}`,
            text: 'Sign in',
          },
          product: 'Test',
        }),
      'GET /auth/callback': ({ query }) => {
        this.signedIn = true;
        this.#forgeryToken = randomUUID();
        return redirect(query.get('return_to') ?? '/');
      },
      'POST /auth/sign-out': () => {
        this.signedIn = false;
        return { status: 204, headers: {}, body: '' };
      },
      'GET /auth/signed-out': () =>
        notice({
          title: 'Signed out',
          text: 'You have left.',
          link: { href: '/', text: 'Sign in' },
          product: 'Test',
        }),
    };
  }

  #routes(): Routes {
    const guarded = (handler: Handler): Handler => {
      return async (exchange) => {
        const answer = await this.intercept(exchange);
        if (answer) return answer;
        if (!this.signedIn) return problem(401, 'TOKEN_MISSING', 'Say who you are.');
        const proven = exchange.headers['x-spark-console-token'] === this.#forgeryToken;
        if (exchange.method === 'POST' && !proven) {
          return problem(403, 'CROSS_SITE_REQUEST', 'Load the page again.');
        }
        return handler(exchange);
      };
    };
    const ofJob = (show: (job: FakeJob, exchange: Exchange) => Answer): Handler =>
      guarded((exchange) => {
        const job = this.jobs.get(exchange.parameters['id'] ?? '');
        if (!job) return problem(404, 'JOB_UNKNOWN', 'There is no such job, or it is not yours.');
        return show(job, exchange);
      });
    return {
      [`GET ${ROOT}/me`]: guarded(() =>
        json({
          principal: { issuer: 'https://issuer.test', subject: this.user },
          groups: ['everyone'],
          good_until: new Date(Date.now() + 3_600_000).toISOString(),
          forgery_token: this.#forgeryToken,
        }),
      ),
      [`GET ${ROOT}/options`]: guarded(() => json(this.choices)),
      [`GET ${ROOT}/samples`]: guarded(() => json(this.samples)),
      [`POST ${ROOT}/run`]: guarded((exchange) => this.#run(exchange)),
      [`GET ${ROOT}/status/{id}`]: ofJob(({ status }) => json(status)),
      [`POST ${ROOT}/cancel/{id}`]: ofJob((job) => {
        if (hasEnded(job.status.state)) return json({ success: false });
        job.status = { ...job.status, cancelling: true };
        return json({ success: true });
      }),
      [`GET ${ROOT}/results/{id}`]: ofJob(({ status, results }) =>
        hasEnded(status.state)
          ? json(
              results ?? { preview: null, count: null, schema: null, output_path: 'file:///out' },
            )
          : problem(400, 'JOB_NOT_ENDED', 'The job has not ended.'),
      ),
      [`GET ${ROOT}/jobs`]: guarded(({ query }) => this.#list(query)),
      [`GET ${ROOT}/logs/{id}`]: ofJob((job, { headers }) => this.#log(job, headers)),
    };
  }

  async #run(exchange: Exchange): Promise<Answer> {
    const body = JSON.parse((await exchange.body()).toString('utf8')) as SubmitBody;
    const key = String(exchange.headers['idempotency-key']);
    const before = this.submitted.findIndex((one) => one.key === key);
    if (before >= 0) return json({ job_id: `job-${before + 1}`, duplicate: true });
    const { manifest, problems } = parseManifest(body.manifest);
    if (!manifest) {
      return problem(400, 'MANIFEST_INVALID', 'The manifest has mistakes.', problems);
    }
    this.submitted.push({ body, key });
    const id = `job-${this.submitted.length}`;
    this.add(id, {
      job_name: manifest.metadata.name,
      team: manifest.metadata.team,
      environment: body.environment,
      sandbox: body.options?.['sandbox_mode'] === 'true',
    });
    return json({ job_id: id });
  }

  #list(query: URLSearchParams): Answer {
    const size = Number(query.get('page_size') ?? 20);
    const from = Number(query.get('page_token') ?? 0);
    const fitting = [...this.jobs.values()]
      .map(({ status }) => status)
      .filter((status) =>
        (['state', 'team', 'environment'] as const).every(
          (name) => !query.has(name) || status[name] === query.get(name),
        ),
      )
      .toReversed();
    const rest = fitting.length > from + size;
    return json({
      jobs: fitting.slice(from, from + size),
      next_page_token: rest ? `${from + size}` : null,
    });
  }

  #log({ status }: FakeJob, headers: Exchange['headers']): Answer {
    const after = headers['last-event-id'];
    this.logRequests.push(typeof after === 'string' ? after : undefined);
    return {
      status: 200,
      headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' },
      body: (response) => {
        const stream = { job: status.job_id, response, sent: Number(after ?? 0) };
        this.#streams.add(stream);
        response.on('close', () => this.#streams.delete(stream));
        response.write(
          `retry: 50\n\nevent: state\ndata: ${JSON.stringify({ state: status.state })}\n\n`,
        );
        this.#send(stream);
        if (hasEnded(status.state)) this.#end(stream, status.state);
      },
    };
  }
}

export function problem(
  status: number,
  code: string,
  detail: string,
  places: readonly { line: number; column: number; path?: string; message: string }[] = [],
): Answer {
  const body: ProblemView = {
    type: 'about:blank',
    title: code,
    status,
    detail,
    code,
    errors: places.map(({ line, column, path = '', message }) => ({
      line,
      column,
      path,
      detail: message,
    })),
  };
  return {
    status,
    headers: { 'content-type': 'application/problem+json' },
    body: JSON.stringify(body),
  };
}

function newStatus(id: string): JobStatusView {
  const at = new Date().toISOString();
  return {
    job_id: id,
    state: 'PENDING',
    spark_ui_url: null,
    error: null,
    reason: null,
    team: 'data',
    environment: 'local',
    namespace: 'sjns-playground-local',
    job_name: 'daily',
    user: 'alice@example.com',
    sandbox: true,
    attempt: 1,
    created_at: at,
    started_at: null,
    ended_at: null,
    deadline: null,
    cancelling: false,
    output_path: null,
    logs: '',
    logs_truncated: false,
    history: [{ state: 'PENDING', at }],
  };
}

function json(value: unknown): Answer {
  return {
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(value),
  };
}

function redirect(location: string): Answer {
  return { status: 303, headers: { location }, body: '' };
}

function signInPath({ path }: Exchange): string {
  return `/auth/sign-in?return_to=${encodeURIComponent(path)}`;
}
