/** An OpenID provider with the device flow (RFC 8628), whose answers a test writes. */
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ExecutionContext } from 'ava';

export interface ScriptedAnswer {
  readonly status?: number;
  /** Text is sent as it is; undefined: the connection is cut. */
  readonly body: object | string | undefined;
}

export interface AskedForm {
  readonly path: string;
  readonly form: Readonly<Record<string, string>>;
}

export interface ScriptedProvider {
  readonly url: string;
  /** What came, in order, beside discovery. */
  readonly asked: readonly AskedForm[];
  /** Endpoints that discovery tells of. */
  endpoints: readonly string[];
  /** Answers by path; the last one stays. */
  readonly answers: Record<string, ScriptedAnswer[]>;
  close(): Promise<void>;
}

/** A provider that lets in whoever asks, with these answers; a test changes them. */
export async function startScriptedProvider(
  t: ExecutionContext,
  host: string,
): Promise<ScriptedProvider> {
  const asked: AskedForm[] = [];
  const server = createServer();
  server.listen(0, host);
  await once(server, 'listening');
  const url = `http://${host}:${(server.address() as AddressInfo).port}`;
  const provider: ScriptedProvider = {
    url,
    asked,
    endpoints: ['token', 'device_authorization', 'revocation'],
    answers: {
      '/device_authorization': [
        {
          body: {
            device_code: 'the-device',
            user_code: 'WDJB-MJHT',
            verification_uri: 'https://login.example.com/device',
            expires_in: 600,
            interval: 3,
          },
        },
      ],
      '/token': [{ body: { access_token: 'first', token_type: 'Bearer', expires_in: 3600 } }],
      '/revocation': [{ body: '' }],
    },
    async close() {
      if (!server.listening) return;
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  server.on('request', (request, response) => {
    const path = request.url ?? '/';
    void formOf(request).then((form) => {
      if (path === '/.well-known/openid-configuration') {
        const told = provider.endpoints.map((name) => [`${name}_endpoint`, `${url}/${name}`]);
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify({ issuer: url, ...Object.fromEntries(told) }));
        return;
      }
      asked.push({ path, form });
      const answers = provider.answers[path] ?? [];
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      if (answer?.body === undefined) {
        request.socket.destroy();
        return;
      }
      const { body, status = 200 } = answer;
      response.writeHead(status, {
        'content-type': typeof body === 'string' ? 'text/html' : 'application/json',
      });
      response.end(typeof body === 'string' ? body : JSON.stringify(body));
    });
  });
  t.teardown(() => provider.close());
  return provider;
}

async function formOf(request: IncomingMessage): Promise<Record<string, string>> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString()));
}
