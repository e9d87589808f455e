/** Runs a command that asks a gateway that runs. */
import type { OnlineCommandName } from '../online-commands.js';
import { EXIT_FAILED } from '../report.js';
import { isOutputForm, renderShown } from '../render/shown.js';
import { drain, evict, release } from './commands/actions.js';
import { drivers } from './commands/drivers.js';
import { envoys } from './commands/envoys.js';
import { explain } from './commands/explain.js';
import { policyDiff } from './commands/policy-diff.js';
import { pools } from './commands/pools.js';
import { sessions } from './commands/sessions.js';
import { sidecars } from './commands/sidecars.js';
import { status } from './commands/status.js';
import type { OnlineCommand, OnlineContext } from './context.js';

const commands: Record<OnlineCommandName, OnlineCommand> = {
  status,
  sessions,
  drivers,
  pools,
  envoys,
  sidecars,
  drain,
  release,
  evict,
  'policy explain': explain,
  'policy diff': policyDiff,
};

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
  name: OnlineCommandName,
  context: OnlineContext,
  output: Output,
): Promise<number> {
  const command = commands[name];
  const written = context.options.get('output') ?? 'table';
  const form = isOutputForm(written) ? written : 'table';
  if (!context.options.has('watch')) {
    const shown = await command(context);
    output.write(renderShown(shown, form, output.width()));
    return shown.differs === true ? EXIT_FAILED : 0;
  }
  const show = async () => renderShown(await command(context), form, output.width());
  const onScreen = output.width() !== undefined && (form === 'table' || form === 'wide');
  for (;;) {
    const text = await show();
    output.write(onScreen ? `${CLEAR}${text}` : text);
    await context.pause(WATCH_MS);
  }
}
