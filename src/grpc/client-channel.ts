/** Options of the channels on which this gateway's processes ask each other. */
import type { ChannelOptions } from '@grpc/grpc-js';

/**
 * `steady`: a server that comes back is found within 2 s, one that vanished is noticed within 30 s.
 * `quick`: 1 s and 15 s, where somebody else could be asked meanwhile.
 */
const paces = {
  steady: {
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 2_000,
    'grpc.keepalive_time_ms': 20_000,
    'grpc.keepalive_timeout_ms': 10_000,
  },
  quick: {
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1_000,
    'grpc.keepalive_time_ms': 10_000,
    'grpc.keepalive_timeout_ms': 5_000,
  },
} as const;

/** @param serverName Name in the server's certificate; undefined: the host of the address. */
export function channelOptions(
  pace: keyof typeof paces,
  serverName: string | undefined,
): ChannelOptions {
  return {
    ...paces[pace],
    ...(serverName === undefined ? {} : { 'grpc.ssl_target_name_override': serverName }),
  };
}
