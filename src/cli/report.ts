/** How a command that failed says so. */
import { GatewayError } from '../model/errors.js';

export const EXIT_FAILED = 1;
/** A mistake in the command line, the settings or the policy: starting again will not help. */
export const EXIT_USAGE = 2;

/** The text for standard error, one line for each mistake, and the exit code. */
export function reportFailure(thrown: unknown): {
  readonly text: string;
  readonly exitCode: number;
} {
  if (!(thrown instanceof GatewayError)) {
    const message = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    return { text: lines([message]), exitCode: EXIT_FAILED };
  }
  const configuration = thrown.code === 'SETTINGS_INVALID' || thrown.code === 'POLICY_INVALID';
  return {
    text: lines(thrown.message.split('\n')),
    exitCode: configuration ? EXIT_USAGE : EXIT_FAILED,
  };
}

/** The text for standard error after a command line that makes no sense. */
export function reportUsage(messages: readonly string[]): string {
  return lines(messages);
}

function lines(messages: readonly string[]): string {
  return messages.map((message) => `spark-gateway: ${message}\n`).join('');
}
