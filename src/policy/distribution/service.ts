/** PolicyService (proto/spark_gateway/v1): the policy in force, told to sidecars. */
import { create } from '@bufbuild/protobuf';
import type { Server, ServerWritableStream } from '@grpc/grpc-js';
import {
  PolicyService,
  type WatchPolicyRequest,
  type WatchPolicyResponse,
  WatchPolicyResponseSchema,
} from '#gen/spark_gateway/v1/policy_pb.js';
import { serviceDefinition } from '../../grpc/service.js';
import { toServiceError } from '../../grpc/status-details.js';
import type { GatewayError } from '../../model/errors.js';
import type { PolicySource } from '../last-good.js';

type Call = ServerWritableStream<WatchPolicyRequest, WatchPolicyResponse>;

export class PolicyDistribution {
  readonly #source: Pick<PolicySource, 'status' | 'onChange'>;
  readonly #calls = new Set<Call>();

  constructor(source: Pick<PolicySource, 'status' | 'onChange'>) {
    this.#source = source;
  }

  addTo(server: Server): void {
    server.addService(serviceDefinition(PolicyService), {
      watch: (call: Call) => this.#watch(call),
    });
  }

  /** Ends every call: their callers turn to another control plane. */
  close(error: GatewayError): void {
    for (const call of this.#calls) call.emit('error', toServiceError(error));
    this.#calls.clear();
  }

  #watch(call: Call): void {
    let told: string | undefined;
    let writable = true;
    const tell = () => {
      const { version, text: document } = this.#source.status;
      if (!writable || version === told) return;
      told = version;
      writable = call.write(create(WatchPolicyResponseSchema, { version, document }));
    };
    const stop = this.#source.onChange(tell);
    this.#calls.add(call);
    const ended = () => {
      stop();
      this.#calls.delete(call);
    };
    call.on('cancelled', ended);
    call.on('close', ended);
    call.on('error', ended);
    call.on('drain', () => {
      writable = true;
      tell();
    });
    tell();
  }
}
