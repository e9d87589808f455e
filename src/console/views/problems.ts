/** What is wrong, as the admin API shows it. */
import type { ProblemView } from '../../model/admin-api.js';
import type { KnownProblem } from '../../model/fleet-problem.js';
import { isoTime } from './time.js';

export function problemViews(problems: readonly KnownProblem[]): readonly ProblemView[] {
  return problems.map(({ kind, object, message, sinceMs }) => ({
    kind,
    ...(object ? { object: nameOf(object) } : {}),
    ...(object?.cluster === undefined ? {} : { cluster: object.cluster }),
    message,
    since: isoTime(sinceMs),
  }));
}

/** One sentence with what it is about. */
export function problemSentence({ object, message }: KnownProblem): string {
  return object ? `${nameOf(object)}: ${message}` : message;
}

function nameOf({ kind, namespace, name }: NonNullable<KnownProblem['object']>): string {
  return kind === 'Namespace' ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;
}
