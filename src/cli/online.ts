/** Commands that ask a gateway that runs, or a policy file in its place: joins the command line with settings and terminal. */
import { setTimeout } from 'node:timers/promises';
import { systemClock } from '../model/clock.js';
import { GatewayError, GrpcStatus } from '../model/errors.js';
import { type Settings, localAdminUrl, localPlaygroundUrl, localUrl } from '../settings/table.js';
import { ADMIN_VARIABLE, connect, gatewayOf, PLAYGROUND_VARIABLE } from './admin-client.js';
import type { OnlineCommand, OnlineContext } from './command.js';
import { KeptLogins } from './login/kept-logins.js';
import { tokenOfLogin } from './login/token-of-login.js';
import { isOutputForm, renderShown } from './render.js';
import { EXIT_FAILED } from './report.js';

export interface OnlineArguments {
  readonly command: OnlineCommand;
  readonly operands: readonly string[];
  readonly options: ReadonlyMap<string, string>;
  /** Somebody named the settings. */
  readonly settingsNamed: boolean;
}

/** Resolves with the exit code. */
export async function askGateway(
  settings: Settings,
  { command, operands, options, settingsNamed }: OnlineArguments,
): Promise<number> {
  const { issuer } = settings;
  const policyFile = options.get('file');
  const logins = new KeptLogins(process.env);
  const client =
    policyFile === undefined
      ? await connect({
          options,
          env: process.env,
          urlVariable: command.asks === 'playground' ? PLAYGROUND_VARIABLE : ADMIN_VARIABLE,
          settingsUrl:
            command.asks === 'playground' ? localPlaygroundUrl(settings) : localAdminUrl(settings),
          issuerUrl: issuer.enabled ? localUrl(issuer.listenAddr) : undefined,
          settingsNamed,
          login: async (asked) => {
            const { url: gateway } =
              command.asks === 'playground'
                ? await gatewayOf({
                    options: new Map(),
                    env: process.env,
                    settingsUrl: localAdminUrl(settings),
                  })
                : { url: asked };
            return tokenOfLogin({ logins, gateway, now, pause });
          },
        })
      : await (await import('./policy-by-file.js')).policyByFile(policyFile, settings);
  const { stdout, stderr } = process;
  // Whoever read it has seen enough, as `| head` does.
  stdout.on('error', () => process.exit());
  return runOnline(
    command,
    {
      client,
      operands,
      options,
      now,
      pause,
      say: (text) => stderr.write(`${text}\n`),
      print: (text) => stdout.write(text),
    },
    {
      write: (text) => void stdout.write(text),
      width: () => (stdout.isTTY ? stdout.columns : undefined),
    },
  );
}

const now = () => systemClock.now();
const pause = (ms: number) => setTimeout(ms);

// Runs a command that asks a gateway that runs.

export interface Output {
  write(text: string): void;
  /** Characters in a line of the terminal; undefined where there is no terminal. */
  readonly width: () => number | undefined;
}

const WATCH_MS = 2_000;
/** Clears the screen and goes to its beginning (ECMA-48: CUP, ED). */
const CLEAR = '\u001b[H\u001b[2J';

/** Resolves with the exit code. Rejects with what the command fails with, or with what `pause` does while it watches. */
export async function runOnline(
  command: OnlineCommand,
  context: OnlineContext,
  output: Output,
): Promise<number> {
  const written = context.options.get('output') ?? 'table';
  const form = isOutputForm(written) ? written : 'table';
  if (!context.options.has('watch')) {
    const shown = await command.show(context);
    output.write(renderShown(shown, form, output.width()));
    return shown.differs === true ? EXIT_FAILED : 0;
  }
  const show = async () => renderShown(await command.show(context), form, output.width());
  const onScreen = output.width() !== undefined && (form === 'table' || form === 'wide');
  let text = await show();
  output.write(onScreen ? `${CLEAR}${text}` : text);
  let lost = false;
  for (;;) {
    await context.pause(WATCH_MS);
    try {
      text = await show();
      lost = false;
      output.write(onScreen ? `${CLEAR}${text}` : text);
    } catch (error) {
      if (!passes(error)) throw error;
      // What was shown last stays in sight.
      if (!lost) context.say(`${error.message} Trying again.`);
      lost = true;
    }
  }
}

/** A replica that ends, or a change of leader: who watches sees what comes after it. */
function passes(error: unknown): error is GatewayError {
  return (
    error instanceof GatewayError &&
    (error.code === 'ADMIN_API_UNREACHABLE' || error.status === GrpcStatus.UNAVAILABLE)
  );
}
