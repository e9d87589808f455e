/** The calls of a server that are under way, so that all of them can be ended at once. */
import {
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from '@grpc/grpc-js';
import type { GatewayError } from '../model/errors.js';
import { toServiceError } from './status-details.js';

export class OpenCalls {
  readonly #calls = new Set<ServerInterceptingCallInterface>();

  /** For `ServerOptions.interceptors`. */
  readonly interceptor: ServerInterceptor = (_method, call) =>
    new ServerInterceptingCall(call, {
      start: (next) => {
        this.#calls.add(call);
        next({ onCancel: () => this.#calls.delete(call) });
      },
    });

  /** Each caller is told `error`; handlers hear of it as of a cancelled call. */
  endAll(error: GatewayError): void {
    const { code, metadata = null } = toServiceError(error);
    for (const call of this.#calls) call.sendStatus({ code, details: error.message, metadata });
    this.#calls.clear();
  }
}
