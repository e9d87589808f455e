/**
 * What ExecutePlan and Interrupt say of operations, read from the first bytes of their messages
 * (spark/connect/base.proto, commands.proto and ml.proto, 3.5 to 4.x).
 */
import type { Interrupt } from '../model/interrupt.js';
import { MalformedMessage, WireReader, WireType } from '../lib/protobuf/wire.js';

/** An operation that is about to begin. */
export interface Operation {
  /** undefined: it has none, or it stands behind a long plan. */
  readonly id: string | undefined;
  readonly tags: readonly string[];
  /** Whether all of the request has been seen. */
  readonly isWhole: boolean;
  /**
   * It only lets go of what its session has: PySpark sends such at the end of a script and whenever it
   * collects garbage. Known of a whole request only.
   */
  readonly isCleanUp: boolean;
}

/** The first bytes of a message, and how long all of it is. */
export interface MessageStart {
  readonly bytes: Buffer;
  readonly length: number;
}

const ExecutePlanField = { plan: 3, operation_id: 6, tags: 7 } as const;
const PlanField = { command: 2 } as const;
const CommandField = { remove_cached_remote_relation: 15, ml_command: 17 } as const;
const MlCommandField = { delete: 3, clean_cache: 7 } as const;
const InterruptField = { interrupt_type: 4, operation_tag: 5, operation_id: 6 } as const;
const InterruptType = { all: 1, tag: 2, operation: 3 } as const;

/** Of an ExecutePlan request whose session has been read. */
export function readOperation({ bytes, length }: MessageStart): Operation {
  let id: string | undefined;
  const tags: string[] = [];
  let plans = 0;
  let isCleanUp = false;
  const isWhole = eachField(new WireReader(bytes, 0, length, bytes.length), (field) => {
    if (field.wireType !== WireType.BYTES) return;
    if (field.field === ExecutePlanField.operation_id) id = text(bytes, field);
    else if (field.field === ExecutePlanField.tags) tags.push(text(bytes, field));
    else if (field.field === ExecutePlanField.plan) {
      plans += 1;
      isCleanUp = isCleanUpPlan(bytes, field);
    }
  });
  return { id, tags, isWhole, isCleanUp: isWhole && plans === 1 && isCleanUp };
}

/** What an Interrupt request means. Its message has been seen as a whole. */
export function readInterrupt({
  bytes,
  length,
}: MessageStart): Pick<Interrupt, 'operationId' | 'tag'> {
  let type = 0;
  let tag = '';
  let operationId = '';
  eachField(new WireReader(bytes, 0, length, bytes.length), (field) => {
    if (field.field === InterruptField.interrupt_type && field.wireType === WireType.VARINT) {
      type = field.value;
    } else if (field.wireType !== WireType.BYTES) return;
    else if (field.field === InterruptField.operation_tag) tag = text(bytes, field);
    else if (field.field === InterruptField.operation_id) operationId = text(bytes, field);
  });
  if (type === InterruptType.all) return {};
  // A type that is unknown, as one that is not set, means nothing that waits here.
  return type === InterruptType.tag ? { tag } : { operationId };
}

/**
 * Whether an interrupt means this operation. One whose id or tags have not been seen is meant by every
 * interrupt of its session: better ended and run again than run after its user has ended it.
 * @param operation undefined: a request that is none, which only an interrupt of all means
 */
export function isMeant(
  operation: Operation | undefined,
  { operationId, tag }: Pick<Interrupt, 'operationId' | 'tag'>,
): boolean {
  if (operationId === undefined && tag === undefined) return true;
  if (!operation) return false;
  if (tag !== undefined) return operation.tags.includes(tag) || !operation.isWhole;
  return operation.id === operationId || (operation.id === undefined && !operation.isWhole);
}

function isCleanUpPlan(bytes: Buffer, plan: WireReader): boolean {
  const command = onlyField(bytes, plan);
  if (command?.field !== PlanField.command) return false;
  const kind = onlyField(bytes, command);
  if (kind?.field === CommandField.remove_cached_remote_relation) return true;
  if (kind?.field !== CommandField.ml_command) return false;
  const ml = onlyField(bytes, kind)?.field;
  return ml === MlCommandField.delete || ml === MlCommandField.clean_cache;
}

/** The field of a message that has no other; undefined for any other message. */
function onlyField(bytes: Buffer, { start, end }: WireReader): WireReader | undefined {
  const reader = new WireReader(bytes, start, end);
  if (reader.next() !== 'field' || reader.wireType !== WireType.BYTES) return undefined;
  const rest = new WireReader(bytes, reader.end, end);
  return rest.next() === 'end' ? reader : undefined;
}

/** Whether all fields have been seen. One that is cut is left out. */
function eachField(reader: WireReader, visit: (field: WireReader) => void): boolean {
  try {
    for (;;) {
      const step = reader.next();
      if (step === 'end') return true;
      if (step === 'cut') return false;
      visit(reader);
    }
  } catch (error) {
    // The driver refuses what it cannot read.
    if (error instanceof MalformedMessage) return false;
    throw error;
  }
}

function text(bytes: Buffer, { start, end }: WireReader): string {
  return bytes.toString('utf8', start, end);
}
