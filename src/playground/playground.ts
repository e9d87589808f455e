/** The Playground without its page: the REST API, its description, and who may ask. */
import type { Logger } from 'pino';
import { manifestSchema } from '../manifest/json-schema.js';
import { type Answer, json } from '../lib/http/answer.js';
import type { Exchange, Handler, Routes } from '../lib/http/router.js';
import type { Identification } from '../model/administration.js';
import { type Clock, isoTime } from '../model/clock.js';
import { GatewayError, toGatewayError } from '../model/errors.js';
import type { ChoicesView, PlaygroundMeView } from '../model/playground-api.js';
import type { Caller } from '../model/principal.js';
import type { SignIn } from '../sign-in/create.js';
import { identified } from '../sign-in/identify.js';
import { docsPage } from './docs-page.js';
import { API_ROOT, endpoints } from './endpoints.js';
import {
  cancelJob,
  type JobFilter,
  listOf,
  logOf,
  resultsOf,
  runnerOf,
  statusOf,
} from './runner-jobs.js';
import { LogStreams } from './log-streams.js';
import { openApi } from './openapi.js';
import type { Asking, Runners } from './runners.js';
import { samples } from './samples.js';
import { bodyChecker, queryChecker } from './schemas.js';
import { idempotencyKey, submit, type SubmissionRules, validate } from './submissions.js';

export interface PlaygroundOptions extends SubmissionRules {
  readonly runners: Runners;
  /** The first that knows the caller counts. */
  readonly identifications: readonly Identification[];
  /** undefined: programs with tokens only, and no page. */
  readonly signIn: Pick<SignIn, 'session'> | undefined;
  readonly choices: (caller: Caller) => ChoicesView;
  readonly version: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onEnd: (end: RequestEnd) => void;
}

export interface RequestEnd {
  /** As `GET /status/{id}`. */
  readonly route: string;
  /** OK, or the code of the refusal or failure. */
  readonly code: string;
  readonly durationMs: number;
}

export interface Playground {
  readonly routes: Routes;
  /** Who asks. Rejects with TOKEN_MISSING, TOKEN_EXPIRED, or as the identifications do. */
  identify(exchange: Exchange): Promise<unknown>;
  close(): void;
}

/** A manifest of 1 MiB, written as JSON. */
const MAX_BODY_BYTES = 4 * 1024 * 1024;
const TAIL = 1_000;

type Work = (exchange: Exchange, asking: Asking) => Promise<Answer>;

const submission = bodyChecker('Submission');
const validation = bodyChecker('Validation');
const jobsQuery = queryChecker('jobs');
const logsQuery = queryChecker('logs');
const noQuery = queryChecker('none');

export function createPlayground(options: PlaygroundOptions): Playground {
  const { runners, identifications, signIn, choices, version, clock } = options;
  const streams = new LogStreams(clock);
  const description = openApi(version);
  const identify = (exchange: Exchange) => identified(exchange, identifications, clock);

  async function submitted(exchange: Exchange, asking: Asking, sandboxed: boolean) {
    const key = idempotencyKey(exchange.headers['idempotency-key']);
    const body = submission(await exchange.body(MAX_BODY_BYTES));
    return submit({ body, key, sandboxed }, asking, runners, options);
  }

  async function logs(exchange: Exchange, asking: Asking): Promise<Answer> {
    const jobId = idOf(exchange);
    const { after, tail } = logsQuery(exchange.query);
    if (!wantsEvents(exchange)) {
      return json(await logOf(jobId, Number(tail ?? TAIL), asking, runners));
    }
    // Its refusals are answers, before a stream begins.
    const runner = await runnerOf(jobId, asking, runners);
    return streams.open({
      ...asking,
      jobId,
      runner,
      after: positionOf(exchange.headers['last-event-id']) ?? after ?? '',
      admit: () => identify(exchange),
    });
  }

  async function me(exchange: Exchange): Promise<PlaygroundMeView> {
    const { caller, goodUntilMs } = await identify(exchange);
    const forgeryToken = await signIn?.session.forgeryToken(exchange);
    return {
      principal: caller.principal,
      groups: caller.groups,
      good_until: isoTime(goodUntilMs),
      ...(forgeryToken === undefined ? {} : { forgery_token: forgeryToken }),
    };
  }

  const works: Readonly<Record<string, Work>> = {
    'POST /submit': shown((exchange, asking) => submitted(exchange, asking, false)),
    'POST /run': shown((exchange, asking) => submitted(exchange, asking, true)),
    'GET /status/{id}': shown((exchange, asking) => statusOf(idOf(exchange), asking, runners)),
    'POST /cancel/{id}': shown((exchange, asking) => cancelJob(idOf(exchange), asking, runners)),
    'GET /results/{id}': shown((exchange, asking) => resultsOf(idOf(exchange), asking, runners)),
    'GET /jobs': shown(({ query }, asking) => listOf(filterOf(query), asking, runners)),
    'GET /logs/{id}': logs,
    'GET /samples': shown(() => samples),
    'POST /validate': shown(async (exchange) =>
      validate(validation(await exchange.body(MAX_BODY_BYTES)), options),
    ),
    'GET /options': shown((_exchange, { caller }) => choices(caller)),
    'GET /schema': shown(() => manifestSchema()),
    'GET /me': shown(me),
  };

  const answered = (route: string, work: (exchange: Exchange) => Promise<Answer>): Handler => {
    return async (exchange) => {
      const startedMs = clock.monotonic();
      let code = 'OK';
      try {
        return await work(exchange);
      } catch (error) {
        ({ code } = toGatewayError(error));
        throw error;
      } finally {
        options.onEnd({ route, code, durationMs: clock.monotonic() - startedMs });
      }
    };
  };

  return {
    identify,
    routes: {
      ...Object.fromEntries(
        endpoints.map(({ route, query }) => {
          const work = works[route];
          if (!work) throw new TypeError(`nothing answers ${route}`);
          const [method = '', path = ''] = route.split(' ');
          const handler = answered(route, async (exchange) => {
            const { caller } = await identify(exchange);
            if (query === undefined) noQuery(exchange.query);
            return work(exchange, { caller, signal: exchange.signal });
          });
          return [`${method} ${API_ROOT}${path}`, handler];
        }),
      ),
      [`GET ${API_ROOT}/openapi.json`]: () => json(description),
      'GET /docs': docsPage,
    },
    close: () => streams.close(),
  };
}

function shown(find: (exchange: Exchange, asking: Asking) => unknown): Work {
  return async (exchange, asking) => json(await find(exchange, asking));
}

function filterOf(query: URLSearchParams): JobFilter {
  const found = jobsQuery(query);
  return {
    states: found.state?.split(',') ?? [],
    team: found.team ?? '',
    environment: found.environment ?? '',
    mine: found.mine !== 'false',
    pageSize: found.page_size === undefined ? undefined : Number(found.page_size),
    pageToken: found.page_token,
  };
}

/** An id as it is written in an address. Throws JOB_UNKNOWN for what can be none. */
function idOf({ parameters: { id = '' } }: Exchange): string {
  if (/^[a-z0-9-]{1,63}$/.test(id)) return id;
  throw new GatewayError('JOB_UNKNOWN', 'There is no such job: an id has the form job-….');
}

function wantsEvents({ headers }: Exchange): boolean {
  return (headers.accept ?? '').split(',').some((type) => /^\s*text\/event-stream\b/.test(type));
}

/** undefined for what is none of ours: the stream begins at the beginning. */
function positionOf(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' && /^[!-~]{1,200}$/.test(header) ? header : undefined;
}
