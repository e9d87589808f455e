/** Lets an Envoy finish what it has begun before it is asked to end, which it does at once. */
import type { Clock } from '../model/clock.js';
import { formatAddress, type TcpAddress } from '../model/address.js';

export interface DrainEnvoyOptions {
  /** Of its administration. */
  readonly adminAddr: TcpAddress;
  /** How long it may take. */
  readonly limitMs: number;
  readonly clock: Clock;
  /** Told once, if there is something to wait for: how many requests run. */
  readonly onWaiting: (requests: number) => void;
}

const LOOK_EVERY_MS = 200;
/** Requests of clients that run now. */
const ACTIVE = 'http.front.downstream_rq_active';

/**
 * Tells connected clients to go elsewhere with their next request (GOAWAY) and resolves when no
 * request runs, when the time is over, or when Envoy does not answer. Never rejects.
 */
export async function drainEnvoy(options: DrainEnvoyOptions): Promise<void> {
  const { adminAddr, limitMs, clock, onWaiting } = options;
  const admin = `http://${formatAddress(adminAddr)}`;
  const giveUpAtMs = clock.now() + limitMs;
  let told = false;
  try {
    await fetch(`${admin}/drain_listeners?graceful&skip_exit`, { method: 'POST' });
    while (clock.now() < giveUpAtMs) {
      const stats = await (await fetch(`${admin}/stats?filter=^${ACTIVE}$`)).text();
      const requests = Number(/: (\d+)/.exec(stats)?.[1] ?? 0);
      if (requests === 0) return;
      if (!told) onWaiting(requests);
      told = true;
      await new Promise<void>((resolve) => {
        clock.setTimer(LOOK_EVERY_MS, resolve);
      });
    }
  } catch {
    // It does not run.
  }
}
