/**
 * Server reflection (https://github.com/grpc/grpc/blob/master/doc/server-reflection.md), by which
 * grpcurl and its like find out what a server offers. v1 and v1alpha have the same messages.
 */
import {
  create,
  type DescFile,
  type DescService,
  type MessageInitShape,
  toBinary,
} from '@bufbuild/protobuf';
import { nestedTypes } from '@bufbuild/protobuf/reflect';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { type Server, type ServerDuplexStream, status } from '@grpc/grpc-js';
import {
  ServerReflection,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
  ServerReflectionResponseSchema,
} from '#gen/grpc/reflection/v1/reflection_pb.js';
import { ServerReflection as ServerReflectionAlpha } from '#gen/grpc/reflection/v1alpha/reflection_pb.js';
import { file_google_rpc_error_details } from '#gen/google/rpc/error_details_pb.js';
import { methodDefinition } from './channels.js';

type Call = ServerDuplexStream<ServerReflectionRequest, ServerReflectionResponse>;
type Answer = NonNullable<
  MessageInitShape<typeof ServerReflectionResponseSchema>['messageResponse']
>;

/** Tells of these services, and of reflection itself. */
export function addReflection(server: Server, services: readonly DescService[]): void {
  const index = new DescriptorIndex([...services, ServerReflection, ServerReflectionAlpha]);
  const method = methodDefinition(ServerReflection.method.serverReflectionInfo);
  for (const { typeName } of [ServerReflection, ServerReflectionAlpha]) {
    const path = `/${typeName}/ServerReflectionInfo`;
    server.addService(
      { serverReflectionInfo: { ...method, path } },
      {
        serverReflectionInfo(call: Call) {
          call.on('data', (originalRequest: ServerReflectionRequest) => {
            const { host: validHost, messageRequest } = originalRequest;
            const messageResponse = index.answer(messageRequest);
            call.write(
              create(ServerReflectionResponseSchema, {
                validHost,
                originalRequest,
                messageResponse,
              }),
            );
          });
          call.on('end', () => call.end());
          call.on('error', () => undefined);
        },
      },
    );
  }
}

/** What the services consist of, by the names that clients ask by. */
class DescriptorIndex {
  readonly #services: readonly string[];
  readonly #fileByName = new Map<string, DescFile>();
  readonly #fileBySymbol = new Map<string, DescFile>();

  constructor(services: readonly DescService[]) {
    this.#services = services.map(({ typeName }) => typeName);
    for (const { file } of services) this.#add(file);
    // What is in the details of a status, so that a client can read them.
    this.#add(file_google_rpc_error_details);
  }

  answer(request: ServerReflectionRequest['messageRequest']): Answer {
    switch (request.case) {
      case 'listServices':
        return {
          case: 'listServicesResponse',
          value: { service: this.#services.map((name) => ({ name })) },
        };
      case 'fileByFilename':
        return found(this.#fileByName.get(request.value.replace(/\.proto$/, '')), request.value);
      case 'fileContainingSymbol':
        return found(this.#fileBySymbol.get(request.value), request.value);
      case 'fileContainingExtension':
      case 'allExtensionNumbersOfType':
        return refused(status.NOT_FOUND, 'There are no extensions here.');
      case undefined:
        return refused(status.INVALID_ARGUMENT, 'The request asks for nothing.');
    }
  }

  #add(file: DescFile): void {
    if (this.#fileByName.has(file.name)) return;
    this.#fileByName.set(file.name, file);
    for (const type of nestedTypes(file)) {
      this.#fileBySymbol.set(type.typeName, file);
      const inner =
        type.kind === 'service' ? type.methods : type.kind === 'message' ? type.fields : [];
      for (const { name } of inner) this.#fileBySymbol.set(`${type.typeName}.${name}`, file);
    }
    for (const dependency of file.dependencies) this.#add(dependency);
  }
}

/** The file, and those that it imports: what a client has got already it passes over. */
function found(file: DescFile | undefined, wanted: string): Answer {
  if (!file) return refused(status.NOT_FOUND, `There is no ${JSON.stringify(wanted)} here.`);
  const files = new Set<DescFile>();
  const add = (one: DescFile) => {
    if (files.has(one)) return;
    files.add(one);
    one.dependencies.forEach(add);
  };
  add(file);
  return {
    case: 'fileDescriptorResponse',
    value: {
      fileDescriptorProto: [...files].map(({ proto }) =>
        toBinary(FileDescriptorProtoSchema, proto),
      ),
    },
  };
}

function refused(errorCode: number, errorMessage: string): Answer {
  return { case: 'errorResponse', value: { errorCode, errorMessage } };
}
