/** The commands of `spark-gateway`, in the order in which help lists them. */
import type { Command } from './command.js';
import { analyze } from './commands/analyze.js';
import { authz } from './commands/authz.js';
import { bootstrap } from './commands/bootstrap.js';
import { completion } from './commands/completion.js';
import { controlPlane } from './commands/control-plane.js';
import { drain } from './commands/drain.js';
import { drivers } from './commands/drivers.js';
import { envoys } from './commands/envoys.js';
import { evict } from './commands/evict.js';
import { issuer } from './commands/issuer.js';
import { jobCancel } from './commands/job-cancel.js';
import { jobList } from './commands/job-list.js';
import { jobLogs } from './commands/job-logs.js';
import { jobResults } from './commands/job-results.js';
import { jobSchema } from './commands/job-schema.js';
import { jobStatus } from './commands/job-status.js';
import { jobSubmit } from './commands/job-submit.js';
import { jobValidate } from './commands/job-validate.js';
import { login } from './commands/login.js';
import { logout } from './commands/logout.js';
import { playground } from './commands/playground.js';
import { policyCompare } from './commands/policy-compare.js';
import { policyCrd } from './commands/policy-crd.js';
import { policyDiff } from './commands/policy-diff.js';
import { policyExplain } from './commands/policy-explain.js';
import { policySchema } from './commands/policy-schema.js';
import { policyTest } from './commands/policy-test.js';
import { policyValidate } from './commands/policy-validate.js';
import { pools } from './commands/pools.js';
import { problems } from './commands/problems.js';
import { release } from './commands/release.js';
import { runner } from './commands/runner.js';
import { sessions } from './commands/sessions.js';
import { settingsExample } from './commands/settings-example.js';
import { settingsValidate } from './commands/settings-validate.js';
import { sidecars } from './commands/sidecars.js';
import { start } from './commands/start.js';
import { status } from './commands/status.js';
import { token } from './commands/token.js';
import { undrain } from './commands/undrain.js';

export const commands: readonly Command[] = [
  start,
  controlPlane,
  authz,
  runner,
  playground,
  bootstrap,
  issuer,
  token,
  policyValidate,
  policyTest,
  policyCompare,
  policySchema,
  policyCrd,
  jobSubmit,
  jobStatus,
  jobLogs,
  jobResults,
  jobCancel,
  jobList,
  jobValidate,
  jobSchema,
  settingsValidate,
  settingsExample,
  analyze,
  login,
  logout,
  status,
  sessions,
  drivers,
  pools,
  envoys,
  sidecars,
  problems,
  drain,
  undrain,
  release,
  evict,
  policyExplain,
  policyDiff,
  completion,
];

export function findCommand(name: string): Command {
  const found = commands.find((command) => command.name === name);
  if (!found) throw new TypeError(`no command ${name}`);
  return found;
}
