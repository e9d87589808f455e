/** Spark Connect requests for tests: what matters of spark/connect/base.proto, as protobuf-es messages. */
import { createFileRegistry, type DescMessage } from '@bufbuild/protobuf';
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FileDescriptorProtoSchema,
  type FieldDescriptorProto_Type,
} from '@bufbuild/protobuf/wkt';
import { create } from '@bufbuild/protobuf';

function field(name: string, number: number, type: FieldDescriptorProto_Type, typeName = '') {
  return { name, number, type, typeName, label: Label.OPTIONAL, jsonName: name };
}

const file = create(FileDescriptorProtoSchema, {
  name: 'spark.proto',
  package: 'spark.test',
  syntax: 'proto3',
  messageType: [
    {
      name: 'UserContext',
      field: [field('user_id', 1, Type.STRING), field('user_name', 2, Type.STRING)],
    },
    {
      name: 'Request',
      field: [
        field('session_id', 1, Type.STRING),
        field('user_context', 2, Type.MESSAGE, '.spark.test.UserContext'),
        field('plan', 3, Type.BYTES),
        field('allow_reconnect', 4, Type.BOOL),
        field('fixed64', 5, Type.FIXED64),
        field('fixed32', 6, Type.FIXED32),
        field('number', 7, Type.INT64),
      ],
    },
    {
      name: 'CloneRequest',
      field: [
        field('session_id', 1, Type.STRING),
        field('user_context', 2, Type.MESSAGE, '.spark.test.UserContext'),
        field('client_type', 3, Type.STRING),
        field('new_session_id', 4, Type.STRING),
      ],
    },
  ],
});
const registry = createFileRegistry(file, () => undefined);

function message(name: string): DescMessage {
  const found = registry.getMessage(`spark.test.${name}`);
  if (!found) throw new Error(`no message ${name}`);
  return found;
}

export const RequestDesc = message('Request');
export const CloneRequestDesc = message('CloneRequest');

/** Frames a message as gRPC does. */
export function frame(payload: Uint8Array, compressed = false): Buffer {
  const header = Buffer.alloc(5);
  header[0] = compressed ? 1 : 0;
  header.writeUInt32BE(payload.length, 1);
  return Buffer.concat([header, payload]);
}

export type EncodedField = readonly [number, string | Uint8Array | number];

/** Encodes fields by hand, in the order given: [number, string | Buffer] are length-delimited, [number, number] varints below 128. */
export function encode(...fields: readonly EncodedField[]): Buffer {
  return Buffer.concat(
    fields.map(([number, value]) => {
      if (typeof value === 'number') return Buffer.concat([varint(number << 3), varint(value)]);
      const content = Buffer.from(value as string);
      return Buffer.concat([varint((number << 3) | 2), varint(content.length), content]);
    }),
  );
}

function varint(value: number): Buffer {
  const bytes = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) {
      bytes.push(rest);
      return Buffer.from(bytes);
    }
    bytes.push((rest & 0x7f) | 0x80);
  }
}
