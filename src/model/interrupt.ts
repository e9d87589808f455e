/** Interrupts of what waits in the gateway itself: the driver that runs nothing yet cannot end it. */
import type { Principal } from './principal.js';

/** As in InterruptRequest of spark/connect/base.proto; with neither an operation nor a tag it means all. */
export interface Interrupt {
  readonly sessionId: string;
  /** Whose session it is, verified. */
  readonly principal: Principal;
  readonly operationId?: string;
  readonly tag?: string;
}

/** undefined for a message that does not say whose session it is. */
export function interruptOfMessage(message: {
  readonly sessionId: string;
  readonly principal?: Principal | undefined;
  readonly operationId?: string | undefined;
  readonly tag?: string | undefined;
}): Interrupt | undefined {
  const { sessionId, principal, operationId, tag } = message;
  if (!principal) return undefined;
  const { issuer, subject } = principal;
  return {
    sessionId,
    principal: { issuer, subject },
    ...(operationId === undefined ? {} : { operationId }),
    ...(tag === undefined ? {} : { tag }),
  };
}

/** Where a sidecar tells the others of an interrupt, and hears of theirs. */
export interface InterruptChannel {
  /** Resolves when all that are connected have applied it, or after a moment. Never rejects. */
  interrupt(interrupt: Interrupt): Promise<void>;
  /** Called with every interrupt that somebody tells, also with one's own. */
  onInterrupt(listener: (interrupt: Interrupt) => void): void;
}

/** For one that is alone. */
export const noInterruptChannel: InterruptChannel = {
  interrupt: () => Promise.resolve(),
  onInterrupt: () => undefined,
};
