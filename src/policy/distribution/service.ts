/** PolicyService (proto/spark_gateway/v1): the policy in force, told to sidecars. */
import { create, toBinary } from '@bufbuild/protobuf';
import type { Server, ServerWritableStream } from '@grpc/grpc-js';
import {
  PolicyService,
  type WatchPolicyRequest,
  WatchPolicyResponseSchema,
} from '#gen/spark_gateway/v1/policy_pb.js';
import { asOnTheWire, methodDefinition } from '../../grpc/service.js';
import { toServiceError } from '../../grpc/status-details.js';
import type { GatewayError } from '../../model/errors.js';
import type { PolicySource } from '../last-good.js';

type Call = ServerWritableStream<WatchPolicyRequest, Buffer>;

const watch = { ...methodDefinition(PolicyService.method.watch), responseSerialize: asOnTheWire };

export class PolicyDistribution {
  readonly #source: Pick<PolicySource, 'status' | 'onChange'>;
  readonly #calls = new Set<Call>();
  /** A policy may be large, and sidecars many: it is written as bytes once. */
  #encoded: { readonly version: string; readonly bytes: Buffer } | undefined;

  constructor(source: Pick<PolicySource, 'status' | 'onChange'>) {
    this.#source = source;
  }

  addTo(server: Server): void {
    server.addService({ watch }, { watch: (call: Call) => this.#watch(call) });
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
      const { version } = this.#source.status;
      if (!writable || version === told) return;
      told = version;
      writable = call.write(this.#bytes());
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

  #bytes(): Buffer {
    const { version, text: document } = this.#source.status;
    if (this.#encoded?.version !== version) {
      const message = create(WatchPolicyResponseSchema, { version, document });
      const bytes = Buffer.from(toBinary(WatchPolicyResponseSchema, message));
      this.#encoded = { version, bytes };
    }
    return this.#encoded.bytes;
  }
}
