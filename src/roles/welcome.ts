/** What `start` shows: what it waits for, and how to use what it has started. */
import { get as getHttp, type IncomingMessage } from 'node:http';
import { get as getHttps } from 'node:https';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import type { Settings } from '../settings/table.js';
import { localAdminUrl, localUrl } from './local-url.js';

const POLL_MS = 150;

/**
 * Resolves with true when the front door is open and a driver waits behind it, with false when
 * `stop` was aborted before. Says what is missing whenever that changes.
 */
export async function waitUntilReady(
  settings: Settings,
  stop: AbortSignal,
  say: (text: string) => void,
): Promise<boolean> {
  const parts = [
    { name: 'control plane', url: `${localAdminUrl(settings)}/readyz/pools` },
    { name: 'authz', url: `${localUrl(settings.authz.metricsAddr)}/readyz/issuers` },
    { name: 'Envoy', url: `${localUrl(settings.envoy.adminAddr)}/ready` },
  ];
  let told = '';
  while (!stop.aborted) {
    const missing: string[] = [];
    for (const { name, url } of parts) {
      const problem = await notReady(url);
      if (problem !== undefined) missing.push(`${name}: ${problem}`);
    }
    if (missing.length === 0) return true;
    const waitingFor = missing.join('; ');
    if (waitingFor !== told) say(`  waiting for ${waitingFor}`);
    told = waitingFor;
    await pause(POLL_MS, undefined, { signal: stop }).catch(() => {});
  }
  return false;
}

async function notReady(url: string): Promise<string | undefined> {
  try {
    const response = await answer(url);
    const said = (await text(response)).trim();
    return response.statusCode === 200 ? undefined : said;
  } catch {
    return 'starting';
  }
}

/** A certificate is for the name that operators use, not for this machine's address; nothing secret is sent. */
function answer(url: string): Promise<IncomingMessage> {
  const options = { signal: AbortSignal.timeout(2_000), agent: false, rejectUnauthorized: false };
  return new Promise((resolve, reject) => {
    const get = url.startsWith('https:') ? getHttps : getHttp;
    get(url, options, resolve).on('error', reject);
  });
}

/** The lines a newcomer needs: a URL to paste, where tokens, metrics and logs are. */
export async function firstSteps(settings: Settings, tookMs: number): Promise<string> {
  const lines = [`The Spark Connect gateway is ready after ${(tookMs / 1000).toFixed(1)} s.`, ''];
  const port = settings.listenAddr.port;
  if (settings.issuer.enabled) {
    const issuer = localUrl(settings.issuer.listenAddr);
    const { headers } = settings;
    const response = await fetch(`${issuer}/token?user=alice`);
    const token = (await response.text()).trim();
    lines.push(
      '  Connect as alice (a token of the development issuer, for this machine only):',
      `    sc://localhost:${port}/;token=${token};${headers.team}=data;${headers.environment}=dev`,
      '',
      `  In Python: SparkSession.builder.remote("sc://…").getOrCreate()`,
      `  Others:    curl '${issuer}/token?user=bob'`,
    );
  } else {
    lines.push(`  Connect:   sc://localhost:${port}/;token=…;${settings.headers.team}=…`);
  }
  lines.push(
    `  Console:   ${localAdminUrl(settings)}/`,
    `  Metrics:   ${localAdminUrl(settings)}/metrics`,
    `  Logs:      ${settings.stateDir}/logs`,
    '',
    'Ctrl-C ends it and its drivers.',
  );
  return lines.join('\n');
}
