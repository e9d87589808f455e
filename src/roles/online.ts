/** Commands that ask a gateway that runs, or a policy file in its place: joins the command line with settings and terminal. */
import { setTimeout as pause } from 'node:timers/promises';
import { connect } from '../cli/online/connection.js';
import { runOnline } from '../cli/online/run.js';
import type { OnlineCommandName } from '../cli/online-commands.js';
import { systemClock } from '../model/clock.js';
import type { Settings } from '../settings/table.js';
import { localAdminUrl, localUrl } from './local-url.js';
import { policyByFile } from './policy-by-file.js';

export interface OnlineArguments {
  readonly name: OnlineCommandName;
  readonly operands: readonly string[];
  readonly options: ReadonlyMap<string, string>;
  /** Somebody named the settings. */
  readonly settingsNamed: boolean;
}

/** Resolves with the exit code. */
export async function askGateway(
  settings: Settings,
  { name, operands, options, settingsNamed }: OnlineArguments,
): Promise<number> {
  const { issuer } = settings;
  const policyFile = options.get('file');
  const client =
    policyFile === undefined
      ? await connect({
          options,
          env: process.env,
          settingsUrl: localAdminUrl(settings),
          issuerUrl: issuer.enabled ? localUrl(issuer.listenAddr) : undefined,
          settingsNamed,
        })
      : await policyByFile(policyFile, settings);
  const { stdout, stderr } = process;
  // Whoever read it has seen enough, as `| head` does.
  stdout.on('error', () => process.exit());
  return runOnline(
    name,
    {
      client,
      operands,
      options,
      now: () => systemClock.now(),
      pause: (ms) => pause(ms),
      say: (text) => stderr.write(`${text}\n`),
    },
    {
      write: (text) => void stdout.write(text),
      width: () => (stdout.isTTY ? stdout.columns : undefined),
    },
  );
}
