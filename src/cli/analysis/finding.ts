/** What `analyze` finds: each with a code that stays, and with what to do about it. */
import { KubernetesError } from '../../lib/kubernetes/http.js';
import { printable, type Shown } from '../render.js';

export type Severity = 'error' | 'warning' | 'info';

/** Programs may match on them. */
export type FindingCode =
  /** The API server does not answer, so that nothing is known of its cluster. */
  | 'CLUSTER_UNREACHABLE'
  /** What a check asks cannot be answered to whoever runs it. */
  | 'CHECK_NOT_POSSIBLE'
  | 'NAMESPACE_MISSING'
  /** The gateway has none of the rights that it needs in a namespace. */
  | 'ROLE_BINDING_MISSING'
  | 'RIGHT_MISSING'
  | 'CRD_MISSING'
  | 'CRD_VERSION_NOT_SERVED'
  | 'POLICY_MISSING'
  | 'POLICY_INVALID'
  | 'POLICY_NOTE'
  | 'TEMPLATES_INVALID'
  /** The gateway makes no drivers in a namespace, or none for a canary. */
  | 'TEMPLATE_MISSING'
  | 'TEMPLATE_REFUSED'
  /** No namespace is known in which templates could be tried. */
  | 'TEMPLATE_NOT_TRIED';

export interface Finding {
  readonly code: FindingCode;
  readonly severity: Severity;
  /** The context of the kubeconfig, where several clusters are in use. */
  readonly cluster?: string;
  /** Such as `Namespace sjns-data-dev`. */
  readonly object: string;
  readonly message: string;
  readonly remedy: string;
}

const order: readonly Severity[] = ['error', 'warning', 'info'];

/** The worst first. Differs, so that the command ends with exit code 1, where there is an error. */
export function shownFindings(found: readonly Finding[], checked: readonly string[]): Shown {
  const findings = found.toSorted(
    (a, b) => order.indexOf(a.severity) - order.indexOf(b.severity) || compare(a, b),
  );
  const errors = findings.filter(({ severity }) => severity === 'error').length;
  return {
    value: { findings, checked },
    differs: errors > 0,
    people: () =>
      findings.map(lines).join('') +
      (findings.length === 0
        ? `Nothing is wrong with ${checked.join(', ')}.\n`
        : `${findings.length} found, of which ${errors} keep the gateway from working; checked: ${checked.join(', ')}.\n`),
  };
}

function compare(a: Finding, b: Finding): number {
  const [one, other] = [a, b].map(
    ({ cluster = '', object, code }) => `${cluster} ${object} ${code}`,
  );
  return (one ?? '') < (other ?? '') ? -1 : 1;
}

const words: Record<Severity, string> = { error: 'Error', warning: 'Warning', info: 'Info' };

function lines({ severity, code, cluster, object, message, remedy }: Finding): string {
  const where = cluster === undefined ? object : `${object}, cluster ${cluster}`;
  return `${words[severity]} [${code}] (${printable(where)}) ${printable(message)}\n  To do: ${printable(remedy)}\n`;
}

/** A check that could not be made because of the API server's answer. */
export function notChecked(
  object: string,
  error: unknown,
): Pick<Finding, 'code' | 'severity' | 'object' | 'message' | 'remedy'> {
  if (!(error instanceof KubernetesError)) throw error;
  const { status, message } = error;
  if (status === 403) {
    return {
      code: 'CHECK_NOT_POSSIBLE',
      severity: 'warning',
      object,
      message: `You may not ask: ${message}`,
      remedy: 'Ask somebody who may, or choose another context of the kubeconfig.',
    };
  }
  return {
    code: 'CLUSTER_UNREACHABLE',
    severity: 'error',
    object,
    message,
    remedy:
      status === 401
        ? 'The API server does not know you: renew the credentials in the kubeconfig.'
        : 'Look whether the API server answers (kubectl get --raw /readyz), then ask again.',
  };
}
