/** `issuer` and `token`: the development token issuer and its tokens. */
import { join } from 'node:path';
import { ISSUER_KEYS_FILE, DevelopmentKeys, issuerUrl, mintToken } from '../issuer/tokens.js';
import { startDevelopmentIssuer } from '../issuer/issuer-server.js';
import { systemClock } from '../model/clock.js';
import type { Settings } from '../settings/table.js';
import { aborted, type Closing, roleLogger, runProcess } from './process.js';

/** Runs until a signal ends it. */
export function runIssuer(settings: Settings): Promise<void> {
  return runProcess((closing, stop) => serve(settings, closing, stop));
}

async function serve(settings: Settings, closing: Closing, stop: AbortSignal): Promise<void> {
  const { issuer } = settings;
  const server = await startDevelopmentIssuer({
    address: issuer.listenAddr,
    keysFile: keysFile(settings),
    audience: issuer.audience,
    clientId: issuer.clientId,
    tokenTtlMs: issuer.tokenTtlMs,
    clock: systemClock,
    logger: roleLogger('issuer', settings.logLevel),
  });
  closing.add(() => server.close());
  await aborted(stop);
}

/** Prints a token, signed with the keys in `state_dir`: the issuer need not run. */
export async function printToken(
  settings: Settings,
  user: string,
  ttlMs: number | undefined,
): Promise<void> {
  const { issuer } = settings;
  const token = await mintToken(await DevelopmentKeys.open(keysFile(settings)), user, {
    issuer: issuerUrl(issuer.listenAddr),
    audience: issuer.audience,
    clientId: issuer.clientId,
    issuedAtMs: systemClock.now(),
    ttlMs: ttlMs ?? issuer.tokenTtlMs,
  });
  process.stdout.write(`${token}\n`);
}

function keysFile(settings: Settings): string {
  return join(settings.stateDir, ISSUER_KEYS_FILE);
}
