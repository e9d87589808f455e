import test from 'ava';
import type { RequestFacts } from '../../src/authz/decision.js';
import { sparkMethod } from '../../src/authz/request.js';
import { SessionDrivers } from '../../src/authz/session-drivers.js';
import { assignmentFor } from '../support/authz-gateway.js';
import { plainPolicy } from '../support/plain-policy.js';

test('what is remembered needs no signal, which costs as much as a whole check', (t) => {
  const method = sparkMethod('/spark.connect.SparkConnectService/Config');
  if (!method) throw new Error('there is no such method');
  const facts: RequestFacts = {
    method,
    token: undefined,
    peer: undefined,
    sourceAddress: '',
    host: 'localhost',
    headers: new Map(),
    request: {
      sessionId: 'session-1',
      userId: 'ann',
      newSessionId: undefined,
      allowReconnect: false,
      messageBytes: 100,
    },
    claimedUser: 'ann',
  };
  const principal = { issuer: 'https://issuer.example.com', subject: 'ann' };
  const drivers = new SessionDrivers({
    assign: () => Promise.reject(new Error('asked for')),
    remembered: assignmentFor,
  });
  const assignment = drivers.assign(
    facts,
    {
      authenticated: { caller: { principal, groups: [], claims: {} } },
      target: { team: 'data', environment: 'dev', namespace: 'sjns-data-dev' },
      policy: plainPolicy({ issuers: [] }),
    },
    {
      holdMs: 1000,
      traceparent: undefined,
      call: {
        get signal(): AbortSignal {
          throw new Error('a signal is made');
        },
      },
    },
  );
  t.like(assignment, { sessionId: 'session-1', driverUid: 'driver-1' });
});
