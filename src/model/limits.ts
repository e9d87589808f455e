/** What is refused by the limits of a policy, and what its clients are told. */
import { GatewayError } from './errors.js';
import type { LimitPolicy } from './policy.js';

/** `bytes`: of the message as it is sent. MESSAGE_TOO_LARGE when the limit is less. */
export function refuseBySize(
  bytes: number,
  namespace: string,
  limits: LimitPolicy,
): GatewayError | undefined {
  const limit = limits.messageSizeBytes;
  if (limit === undefined || bytes <= limit) return undefined;
  return new GatewayError(
    'MESSAGE_TOO_LARGE',
    `Your request is a message of ${mebibytes(bytes, Math.ceil)} MiB, and the policy allows ${mebibytes(limit, Math.floor)} MiB in ${namespace}. ` +
      'Have Spark read large data from storage instead of sending it with createDataFrame or within a query, or send it in parts.',
  );
}

export function limitsQueries(limits: LimitPolicy): boolean {
  return (
    limits.queriesPerSession !== undefined ||
    limits.queriesPerPrincipal !== undefined ||
    limits.queriesPerTeam !== undefined ||
    limits.queriesPerNamespace !== undefined
  );
}

/** To two decimals; `round` keeps what is larger looking larger. */
function mebibytes(bytes: number, round: (value: number) => number): string {
  return String(round((bytes / 1024 ** 2) * 100) / 100);
}
