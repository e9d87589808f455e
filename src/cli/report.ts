/** How a command that failed says so. */
import { GatewayError, GrpcStatus } from '../model/errors.js';

export const EXIT_FAILED = 1;
/** A mistake in the command line, the settings or the policy: starting again will not help. */
export const EXIT_USAGE = 2;
/** Nothing answers where the gateway should be. */
export const EXIT_UNREACHABLE = 3;
/** The gateway does not know who asks, or they lack the role. */
export const EXIT_DENIED = 4;

/** The text for standard error, one line for each mistake, and the exit code. */
export function reportFailure(thrown: unknown): {
  readonly text: string;
  readonly exitCode: number;
} {
  if (!(thrown instanceof GatewayError)) {
    const message = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    return { text: lines([message]), exitCode: EXIT_FAILED };
  }
  return { text: lines(thrown.message.split('\n')), exitCode: exitCodeOf(thrown) };
}

function exitCodeOf({ code, status }: GatewayError): number {
  switch (code) {
    case 'SETTINGS_INVALID':
    case 'POLICY_INVALID':
    case 'ARGUMENT_INVALID':
    case 'MANIFEST_INVALID':
    case 'OPTION_INVALID':
      return EXIT_USAGE;
    case 'ADMIN_API_UNREACHABLE':
      return EXIT_UNREACHABLE;
    case 'ADMINISTRATION_REFUSED':
      return EXIT_DENIED;
    default:
      return status === GrpcStatus.UNAUTHENTICATED ? EXIT_DENIED : EXIT_FAILED;
  }
}

/** The text for standard error after a command line that makes no sense. */
export function reportUsage(messages: readonly string[]): string {
  return lines(messages);
}

function lines(messages: readonly string[]): string {
  return messages.map((message) => `spark-gateway: ${message}\n`).join('');
}
