import type { AuditedRpc } from '../../../src/model/audit.js';

export const rpc: AuditedRpc = {
  requestId: 'request-1',
  startedAtMs: 1_700_000_000_000,
  durationMs: 12,
  envoy: 'envoy-1',
  client: '10.0.0.1',
  method: 'ExecutePlan',
  principal: 'ada@example.com',
  issuer: 'https://issuer.example.com',
  claimedUser: 'ada',
  team: 'search',
  environment: 'test',
  namespace: 'sjns-search-test',
  session: 'session-1',
  driver: 'uid-1',
  refusal: undefined,
  grpcStatus: 0,
  details: 'via_upstream',
  bytesReceived: 100,
  bytesSent: 2 ** 40,
  traceId: '0af7651916cd43dd8448eb211c80319c',
};
