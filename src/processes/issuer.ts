/** `issuer` and `token`: the development token issuer and its tokens. */
import { join } from 'node:path';
import { ISSUER_KEYS_FILE, DevelopmentKeys, issuerUrl, mintToken } from '../issuer/tokens.js';
import { startDevelopmentIssuer } from '../issuer/server.js';
import { systemClock } from '../model/clock.js';
import type { Settings } from '../settings/table.js';
import { roleLogger, aborted, terminationSignal } from './process.js';

/** Runs until a signal ends it. */
export async function runIssuer(settings: Settings): Promise<void> {
  const stop = terminationSignal();
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
  await aborted(stop);
  await server.close();
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
