/** `playground`: batch jobs by REST, and the page on which people write and run them. */
import { join } from 'node:path';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { PolicyTokens, TokenVerifier } from '../authz/token/verifier.js';
import { mtlsFiles } from '../lib/grpc/port.js';
import { clientCredentials } from '../lib/grpc/tls.js';
import { startHttpServer } from '../lib/http/http-server.js';
import type { Routes } from '../lib/http/router.js';
import type { TokenVerification } from '../model/administration.js';
import { formatAddress } from '../model/address.js';
import { systemClock } from '../model/clock.js';
import { PLAYGROUND_VIEWS, playgroundAssets } from '../playground/playground-assets.js';
import { createPlayground, type Playground, type RequestEnd } from '../playground/playground.js';
import { problem } from '../playground/problems.js';
import { Runners } from '../playground/runners.js';
import { policyOptions } from '../settings/policy-options.js';
import { localPlaygroundUrl, type Settings } from '../settings/table.js';
import { createSignIn, forSignedIn, type SignIn } from '../sign-in/create.js';
import { BearerIdentification } from '../sign-in/identify.js';
import type { SignInPage } from '../sign-in/sign-in.js';
import { startAdminServer } from './admin.js';
import { takesLocalPaths } from './batch-output.js';
import { certificateMetrics, policyMetrics, processMetrics } from './metrics.js';
import { choicesOf, serviceOfCertificate } from './playground-choices.js';
import { openSidecarPolicy } from './role-policy.js';
import { aborted, type Closing, roleLogger, runProcess, version } from './process.js';
import { clientSecretOf, givenSecret, issuerOf, secretFile } from './sign-in.js';

type Logger = ReturnType<typeof roleLogger>;

const page: SignInPage = {
  name: 'the Playground',
  product: 'Spark Playground',
  cookie: 'spark-playground',
};

/** Where the policy's rules are for any environment. */
const USUAL_ENVIRONMENTS = ['local', 'test', 'dev', 'staging', 'prod'];

/** Runs until a signal ends it. */
export function runPlayground(settings: Settings): Promise<void> {
  return runProcess((closing, stop) => serve(settings, closing, stop));
}

async function serve(settings: Settings, closing: Closing, stop: AbortSignal): Promise<void> {
  const { headers, mtls, playground: own } = settings;
  const clock = systemClock;
  const logger = roleLogger('playground', settings.logLevel);
  const registry = new Registry();
  processMetrics(registry, 'playground');
  certificateMetrics(registry, 'playground', settings);
  const credentials = clientCredentials(mtlsFiles(mtls), {
    clock,
    onError: (error) => logger.error({ err: error }, 'certificates cannot be renewed'),
  });
  const runners = new Runners({
    byEnvironment: own.runners,
    fallback: formatAddress(own.runnerAddr),
    credentials,
    serverName: own.runnerServerName,
    userHeader: headers.user,
    clock,
    logger,
  });
  closing.add(() => runners.close());
  let missing: string | undefined =
    'a first policy: no control plane has told one, and none is kept';
  const admin = await startAdminServer({
    address: own.metricsAddr,
    registry,
    // It answers while a Runner is away: with what is wrong, and with the page.
    readiness: () => missing,
    logger,
  });
  closing.add(() => admin.close());
  const policy = await openSidecarPolicy(
    settings,
    { role: 'playground', compile: policyOptions(settings), credentials, clock, logger },
    stop,
  );
  if (!policy) return;
  closing.add(() => policy.close());
  policyMetrics(registry, policy);
  const verifier = new TokenVerifier({ clock, logger });
  closing.add(() => verifier.close());
  const tokens = new PolicyTokens(verifier, () => policy.current);
  void verifier.useIssuers(policy.current.issuers);
  const signIn = await openSignIn(settings, tokens, logger);
  const localPaths = takesLocalPaths(settings);
  const playground = createPlayground({
    runners,
    identifications: [new BearerIdentification(tokens), ...(signIn ? [signIn.session] : [])],
    signIn,
    localPaths,
    choices: (caller) =>
      choicesOf(caller, {
        policy: policy.current,
        service: serviceOfCertificate(policy.current, mtls.certFile),
        environments: [...USUAL_ENVIRONMENTS, ...Object.keys(own.runners)],
        localPaths,
      }),
    version: version(),
    clock,
    logger,
    onEnd: playgroundMetrics(registry, () => runners.isConnected()),
  });
  closing.add(() => playground.close());
  const { certFile, keyFile } = own;
  const server = await startHttpServer({
    address: own.listenAddr,
    routes: { ...(await pageRoutes(playground, signIn)), ...playground.routes },
    failure: problem,
    httpsOnly: own.publicUrl?.startsWith('https:') ?? false,
    tls: certFile === undefined || keyFile === undefined ? undefined : { certFile, keyFile, clock },
    logger,
  });
  closing.add(() => server.close());
  missing = undefined;
  logger.info({ port: server.port, metrics: admin.port }, 'the Playground runs');
  await aborted(stop);
  logger.info('the Playground ends');
}

/** undefined: no issuer is named with which people could sign in. */
async function openSignIn(
  settings: Settings,
  tokens: TokenVerification,
  logger: Logger,
): Promise<SignIn | undefined> {
  const { console: shared, playground: own, stateDir } = settings;
  const issuer = issuerOf(settings, {
    issuer: own.issuer ?? shared.issuer,
    clientId: own.clientId ?? shared.clientId,
  });
  if (!issuer) return undefined;
  const clock = systemClock;
  return createSignIn(
    {
      ...issuer,
      clientSecret: await clientSecretOf(own.clientSecretFile, 'playground.client_secret_file'),
      scope: own.scope,
      page,
      publicUrl: new URL(own.publicUrl ?? localPlaygroundUrl(settings)),
      secret: await (own.cookieKeyFile === undefined
        ? secretFile(join(stateDir, 'playground.key'))
        : givenSecret(own.cookieKeyFile)),
      sessionTtlMs: own.sessionTtlMs,
    },
    { tokens, clock, logger },
  );
}

/** Without a sign-in there are programs only, and the page that says what they may ask. */
async function pageRoutes(playground: Playground, signIn: SignIn | undefined): Promise<Routes> {
  if (!signIn)
    return { 'GET /': () => ({ status: 303, headers: { location: '/docs' }, body: '' }) };
  const assets = await playgroundAssets();
  const show = forSignedIn(
    (exchange) => playground.identify(exchange),
    () => assets.page(),
  );
  return {
    ...signIn.routes,
    ...assets.routes(),
    ...Object.fromEntries(PLAYGROUND_VIEWS.map((path) => [`GET ${path}`, show])),
  };
}

export function playgroundMetrics(
  registry: Registry,
  isConnected: () => boolean,
): (end: RequestEnd) => void {
  const registers = [registry];
  const requests = new Counter({
    name: 'spark_gateway_playground_requests_total',
    help: 'Requests of the REST API by outcome: OK, or the code of the refusal.',
    labelNames: ['route', 'code'],
    registers,
  });
  const duration = new Histogram({
    name: 'spark_gateway_playground_request_duration_seconds',
    help: 'Time until the answer to a request of the REST API, or its stream, begins.',
    labelNames: ['route'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15],
    registers,
  });
  const connected: Gauge = new Gauge({
    name: 'spark_gateway_playground_runners_connected',
    help: '1 while the Playground has a connection to each Runner.',
    registers: [],
    collect: () => connected.set(isConnected() ? 1 : 0),
  });
  registry.registerMetric(connected);
  return ({ code, durationMs, route }) => {
    requests.inc({ route, code });
    duration.observe({ route }, durationMs / 1000);
  };
}
