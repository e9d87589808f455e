/** The requests that this sidecar holds: those that a client may interrupt before a driver has them. */
import { GatewayError } from '../model/errors.js';
import type { Interrupt } from '../model/interrupt.js';
import { samePrincipal, type Principal } from '../model/principal.js';
import { isMeant, type Operation } from './operations.js';

export interface WaitingRequest {
  readonly principal: Principal;
  /** undefined: it is no ExecutePlan. */
  readonly operation: Operation | undefined;
  /** Ends it with this answer. */
  abort(reason: GatewayError): void;
}

export class WaitingRequests {
  /** By session id. */
  readonly #waiting = new Map<string, Set<WaitingRequest>>();

  /** @returns what is to be called when it waits no longer */
  add(sessionId: string, request: WaitingRequest): () => void {
    const others = this.#waiting.get(sessionId) ?? new Set();
    this.#waiting.set(sessionId, others.add(request));
    return () => {
      others.delete(request);
      if (others.size === 0 && this.#waiting.get(sessionId) === others) {
        this.#waiting.delete(sessionId);
      }
    };
  }

  /** Ends what an interrupt means. Returns the ids of the operations, as far as they are known. */
  interrupt(interrupt: Interrupt): string[] {
    const ended: string[] = [];
    for (const request of this.#waiting.get(interrupt.sessionId) ?? []) {
      if (!samePrincipal(request.principal, interrupt.principal)) continue;
      if (!isMeant(request.operation, interrupt)) continue;
      if (request.operation?.id !== undefined) ended.push(request.operation.id);
      request.abort(operationCancelled());
    }
    return ended;
  }
}

/** As Spark says it. */
function operationCancelled(): GatewayError {
  return new GatewayError(
    'OPERATION_CANCELED',
    '[OPERATION_CANCELED] Operation has been canceled. It was still waiting and has not run. SQLSTATE: HY008',
  );
}
