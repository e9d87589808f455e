/**
 * Whether an HTTP/2 server answers on a port. Spark Connect servers have no gRPC health service, and
 * an RPC would make a session; but a hung server still accepts TCP connections, which the kernel does
 * for it. The first frame of a server is SETTINGS (RFC 9113 section 3.4), which it sends without work.
 */
import { connect } from 'node:net';

/** Resolves with undefined when the port answers, else with the reason. Never rejects. */
export type Probe = (
  address: string,
  port: number,
  timeoutMs: number,
) => Promise<string | undefined>;

/** The client's preface: a fixed text and an empty SETTINGS frame. */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1');
const FRAME_HEAD_BYTES = 9;
const FRAME_TYPE_OFFSET = 3;
const SETTINGS = 4;

export const http2Probe: Probe = (address, port, timeoutMs) =>
  new Promise((resolve) => {
    const socket = connect({ host: address, port });
    let connected = false;
    let head = Buffer.alloc(0);
    const finish = (reason: string | undefined) => {
      socket.destroy();
      resolve(reason);
    };
    // Not the socket's own timeout, which starts anew with every byte.
    const limit = setTimeout(() => {
      finish(
        connected
          ? `accepts connections and does not answer within ${timeoutMs} ms`
          : `no answer within ${timeoutMs} ms`,
      );
    }, timeoutMs);
    socket.once('close', () => {
      clearTimeout(limit);
      resolve('closes the connection without an answer');
    });
    socket.once('connect', () => {
      connected = true;
      socket.write(PREFACE);
    });
    socket.on('data', (bytes: Buffer) => {
      head = Buffer.concat([head, bytes]).subarray(0, FRAME_HEAD_BYTES);
      if (head.length < FRAME_HEAD_BYTES) return;
      finish(head[FRAME_TYPE_OFFSET] === SETTINGS ? undefined : 'does not speak HTTP/2');
    });
    socket.once('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
  });

/** For ports behind TLS, whose server would take no other client than Envoy: a connection must do. */
export const tcpProbe: Probe = (address, port, timeoutMs) =>
  new Promise((resolve) => {
    const socket = connect({ host: address, port });
    const finish = (reason: string | undefined) => {
      socket.destroy();
      resolve(reason);
    };
    socket.setTimeout(timeoutMs, () => finish(`no answer within ${timeoutMs} ms`));
    socket.once('connect', () => finish(undefined));
    socket.once('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
  });
