/** The same decisions on grpc-js, with generated code for the messages or with the hand-written codec. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Server, ServerCredentials, type sendUnaryData, type ServerUnaryCall } from '@grpc/grpc-js';
import {
  CheckRequestSchema,
  CheckResponseSchema,
} from '#gen/envoy/service/auth/v3/external_auth_pb.js';
import { Call } from '../../../src/authz/http2-transport.js';
import { decodeCheckRequest, type CheckRequest } from '../../../src/authz/check-codec.js';
import type { Decision } from '../../../src/authz/check-service.js';
import { MESSAGE_HEADER_BYTES } from '../../../src/lib/grpc/http2-calls.js';
import { CHECK_PATH, encodeDecision } from '../../../src/authz/authz-server.js';
import { checkServiceOf } from '../check-service.js';
import { subjectOf } from '../subject.js';

const subject = subjectOf(process.argv[2]);
const generated = process.argv[3] === 'generated';
const service = checkServiceOf(subject);

function decodeGenerated(bytes: Buffer): CheckRequest {
  const { attributes } = fromBinary(CheckRequestSchema, bytes);
  const http = attributes?.request?.http;
  const address = attributes?.source?.address?.address;
  return {
    path: http?.path ?? '',
    host: http?.host ?? '',
    headers: new Map(Object.entries(http?.headers ?? {})),
    body: Buffer.from(http?.rawBody ?? []),
    sourceAddress: address?.case === 'socketAddress' ? address.value.address : '',
    peerPrincipal: attributes?.source?.principal ?? '',
    peerCertificate: attributes?.source?.certificate ?? '',
  };
}

function encodeGenerated({ allowed, response }: Decision): Uint8Array {
  const headers = response.set.map(({ name, value }) => ({
    header: { key: name, value },
    appendAction: 2,
  }));
  const dynamicMetadata = Object.fromEntries(
    Object.entries(response.metadata).filter((entry) => entry[1] !== undefined),
  ) as Record<string, string>;
  const message = allowed
    ? create(CheckResponseSchema, {
        status: {},
        httpResponse: {
          case: 'okResponse',
          value: { headers, headersToRemove: [...response.remove] },
        },
        dynamicMetadata,
      })
    : create(CheckResponseSchema, {
        status: { code: response.grpcStatus },
        httpResponse: {
          case: 'deniedResponse',
          value: { headers, status: { code: response.httpStatus } },
        },
        dynamicMetadata,
      });
  return toBinary(CheckResponseSchema, message);
}

const { memory } = service;
const decode = generated
  ? decodeGenerated
  : (bytes: Buffer) => decodeCheckRequest(bytes, memory.texts);
const encode = generated
  ? encodeGenerated
  : (decision: Decision) => encodeDecision(decision, memory).subarray(MESSAGE_HEADER_BYTES);

const server = new Server();
server.addService(
  {
    check: {
      path: CHECK_PATH,
      requestStream: false,
      responseStream: false,
      requestSerialize: (value: Buffer) => value,
      requestDeserialize: decode,
      responseSerialize: (decision: Decision) => Buffer.from(encode(decision)),
      responseDeserialize: (value: Buffer) => value,
    },
  },
  {
    check(call: ServerUnaryCall<CheckRequest, Decision>, callback: sendUnaryData<Decision>) {
      Promise.resolve(service.check(call.request, new Call(undefined))).then(
        (decision) => callback(null, decision),
        (error: Error) => callback(error),
      );
    },
  },
);
server.bindAsync(`unix:${subject.socket}`, ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
  process.stdout.write('ready\n');
});
