/**
 * The argument by which a local driver's process is recognised after a restart of the gateway. It
 * names the state folder, so that two gateways never touch each other's drivers.
 */
import { findByArgument, type ProcessId } from './proc.js';

const OPTION = '-Dspark-gateway.driver=';

export interface MarkedProcess {
  readonly id: ProcessId;
  readonly namespace: string;
  readonly resource: string;
  readonly uid: string;
}

/** `root` is the state folder's real path. */
export function marker(
  root: string,
  driver: { readonly namespace: string; readonly resource: string; readonly uid: string },
): string {
  return `${OPTION}${root}//${driver.namespace}/${driver.resource}/${driver.uid}`;
}

/** Every live process that was started for this state folder. */
export async function findMarked(root: string): Promise<readonly MarkedProcess[]> {
  const found = await findByArgument(`${OPTION}${root}//`);
  return found.flatMap(({ id, rest }) => {
    const [namespace, resource, uid] = rest.split('/');
    if (namespace === undefined || resource === undefined || uid === undefined) return [];
    return [{ id, namespace, resource, uid }];
  });
}
