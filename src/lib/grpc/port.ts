/** One of the gateway's own ports: who may call what, and services that change while it runs. */
import { X509Certificate } from 'node:crypto';
import type { DescService } from '@bufbuild/protobuf';
import {
  type Server,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  type ServerMethodDefinition,
  status,
} from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { formatAddress, type TcpAddress } from '../../model/address.js';
import type { Clock } from '../../model/clock.js';
import type { GatewayError } from '../../model/errors.js';
import { serviceDefinition } from './channels.js';
import { GrpcServer } from './grpc-server.js';
import { toServiceError } from './status-details.js';
import { certificateNames, peerIdentity, serverCredentials, type TlsFiles } from './tls.js';

export interface GrpcPortOptions {
  /** For messages: which port this is. */
  readonly name: string;
  readonly address: TcpAddress;
  readonly tls: TlsFiles | undefined;
  /** URI or DNS names of which a client's certificate must have one; empty: any certificate will do. */
  readonly allowedSans: readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** Every service that `serve` may add. */
  readonly services: readonly DescService[];
  /**
   * Those of them that only other replicas may call: whose certificate has a name of our own. Without
   * certificates nobody may.
   */
  readonly replicaServices: readonly DescService[];
  /**
   * Those of them that have callers of their own: names of which a client's certificate must have one,
   * unless it is another replica's; empty: replicas only. Without certificates whoever reaches the port may.
   */
  readonly namedServices?: readonly {
    readonly service: DescService;
    readonly allowedSans: readonly string[];
  }[];
  /** Adds what is served at all times: its calls are ended by nobody but itself. */
  readonly addPermanent?: (server: Server) => void;
}

export interface GrpcPort {
  /** What is added here answers calls from now on, and nothing else does. Calls under way are left alone. */
  serve(addServices: (server: Server) => void): void;
  /** Ends every call that is under way, of those that `serve` has added. */
  endCalls(error: GatewayError): void;
  /** Rejects with SETTINGS_INVALID when the address cannot be listened on. */
  listen(): Promise<void>;
  close(): Promise<void>;
}

export function createGrpcPort(options: GrpcPortOptions): GrpcPort {
  const { name, address, tls, services, clock, logger } = options;
  const mayCall = gate(options);
  const calls = new OpenCalls();
  const prefixes = services.map(({ typeName }) => `/${typeName}/`);
  const tracked: ServerInterceptor = (method, call) =>
    prefixes.some((prefix) => method.path.startsWith(prefix))
      ? calls.interceptor(method, call)
      : new ServerInterceptingCall(call);
  const credentials = serverCredentials(tls, {
    clock,
    onError: (error) => logger.error({ err: error }, `${name}: certificates cannot be renewed`),
  });
  const port = new GrpcServer({
    name,
    address: formatAddress(address),
    credentials,
    interceptors: [tracked, onlyNamed(mayCall)],
    clock,
  });
  const { server } = port;
  options.addPermanent?.(server);
  return {
    serve(addServices) {
      for (const service of services) server.removeService(serviceDefinition(service));
      addServices(server);
    },
    endCalls: (error) => calls.endAll(error),
    async listen() {
      await port.listen();
    },
    close: () => port.close(),
  };
}

/** Whether a client whose certificate has the names that `names` reads may call the method at `path`. */
type Gate = (path: string, names: () => readonly string[]) => boolean;

function gate({ tls, allowedSans, replicaServices, namedServices = [] }: GrpcPortOptions): Gate {
  const own = tls ? certificateNames(tls) : [];
  // Other replicas pass calls on with a certificate like ours.
  const allowed = new Set([...allowedSans, ...own]);
  const forReplicas = replicaServices.map(({ typeName }) => `/${typeName}/`);
  const named = namedServices.map(({ service, allowedSans: sans }) => ({
    prefix: `/${service.typeName}/`,
    allowed: new Set([...sans, ...own]),
  }));
  return (path, names) => {
    const callers = named.find(({ prefix }) => path.startsWith(prefix))?.allowed;
    if (callers) return !tls || names().some((name) => callers.has(name));
    if (forReplicas.some((prefix) => path.startsWith(prefix))) {
      return names().some((name) => own.includes(name));
    }
    if (!tls || allowedSans.length === 0) return true;
    return names().some((name) => allowed.has(name));
  };
}

function onlyNamed(mayCall: Gate) {
  return (
    { path }: ServerMethodDefinition<unknown, unknown>,
    call: ServerInterceptingCallInterface,
  ) =>
    new ServerInterceptingCall(call, {
      start(next) {
        next();
        if (!mayCall(path, () => namesOf(call))) {
          call.sendStatus({
            code: status.PERMISSION_DENIED,
            details: 'The client certificate has none of the names that may call this.',
          });
        }
      },
    });
}

function namesOf(call: ServerInterceptingCallInterface): readonly string[] {
  const certificate = call.getAuthContext().sslPeerCertificate;
  if (!certificate) return [];
  const { uris, dnsNames } = peerIdentity(new X509Certificate(certificate.raw));
  return [...uris, ...dnsNames];
}

/** The certificates between the gateway's parts, where settings name them. */
export function mtlsFiles(mtls: {
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly caFile: string | undefined;
}): TlsFiles | undefined {
  const { certFile, keyFile, caFile } = mtls;
  if (certFile === undefined || keyFile === undefined || caFile === undefined) return undefined;
  return { certFile, keyFile, caFile };
}

// The calls of a server that are under way, so that all of them can be ended at once.

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
