/** Settings of Spark's Connect server that every driver of the gateway has. Pure. */

/** What a person has set for drivers goes over what the gateway sets. */
export type SparkConf = Readonly<Record<string, string>>;

/** The driver fence (fence/DriverFence.scala). */
const FENCE_CLASS = 'sparkgateway.DriverFence';
const INTERCEPTORS = 'spark.connect.grpc.interceptor.classes';

const ARROW_BATCH = 'spark.connect.grpc.arrow.maxBatchSize';
const RETRY_BUFFER = 'spark.connect.execute.reattachable.observerRetryBufferSize';
const SESSION_TIMEOUT = 'spark.connect.session.manager.defaultSessionTimeout';
/** Spark reads the size of a message as an int. */
const LARGEST_MESSAGE_BYTES = 2 ** 31 - 1;
/** Of Spark: 10 MiB for batches of 4 MiB. */
const RETRY_BUFFER_PER_BATCH = 2.5;

/** `maxMessageBytes`: the largest request that the gateway lets through. */
export function connectConf(own: SparkConf, maxMessageBytes: number): Record<string, string> {
  const batchBytes = sizeBytes(own[ARROW_BATCH]);
  return {
    'spark.connect.grpc.maxInboundMessageSize': String(
      Math.min(maxMessageBytes, LARGEST_MESSAGE_BYTES),
    ),
    // What was sent and is lost with a connection is sent again from there.
    ...(batchBytes === undefined
      ? {}
      : { [RETRY_BUFFER]: String(Math.ceil(batchBytes * RETRY_BUFFER_PER_BATCH)) }),
    ...own,
  };
}

/** The fence comes last: the last interceptor is asked first. */
export function withFence(conf: SparkConf): Record<string, string> {
  const others = conf[INTERCEPTORS];
  return {
    ...conf,
    [INTERCEPTORS]: others === undefined ? FENCE_CLASS : `${others},${FENCE_CLASS}`,
  };
}

/** Why a driver with these settings would end sessions that the gateway believes alive; undefined: it does not. */
export function refuseSessionTimeout(conf: SparkConf, sessionTtlMs: number): string | undefined {
  const written = conf[SESSION_TIMEOUT];
  const timeoutMs = written === undefined ? undefined : timeMs(written);
  // -1: never.
  if (timeoutMs === undefined || timeoutMs < 0 || timeoutMs > sessionTtlMs) return undefined;
  return `${SESSION_TIMEOUT} is ${written}, but must be longer than session_ttl (${sessionTtlMs / 1000} s): else drivers end sessions that the gateway believes alive`;
}

const MS_PER_UNIT: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** As Spark reads a time whose unit is milliseconds (JavaUtils.timeStringAs); undefined if it does not. */
function timeMs(text: string): number | undefined {
  const [, number, unit = 'ms'] = /^(-?\d+)([a-z]+)?$/.exec(text.trim().toLowerCase()) ?? [];
  const perUnit = MS_PER_UNIT[unit];
  return number === undefined || perUnit === undefined ? undefined : Number(number) * perUnit;
}

const UNITS = ['b', 'k', 'm', 'g', 't', 'p'];

/** As Spark reads a size whose unit is bytes (JavaUtils.byteStringAs); undefined if it does not. */
function sizeBytes(text: string | undefined): number | undefined {
  const [, number, unit = 'b'] =
    /^(\d+)(?:([bkmgtp])b?)?$/.exec(text?.trim().toLowerCase() ?? '') ?? [];
  return number === undefined ? undefined : Number(number) * 1024 ** UNITS.indexOf(unit);
}
