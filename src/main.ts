#!/usr/bin/env node
/**
 * `spark-gateway`: reads the command line and runs what it names. Each process is imported when it is
 * the one to run, so that a sidecar does not load what the control plane needs.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Processes } from './cli/command.js';
import { commands, findCommand } from './cli/commands.js';
import { renderHelp } from './cli/help.js';
import { parseCommandLine, type SettingsArguments } from './cli/parse.js';
import { EXIT_USAGE, reportFailure, reportUsage } from './cli/report.js';
import { describeSettings } from './settings/rows.js';
import { version } from './processes/process.js';
import { loadSettings } from './settings/compile-settings.js';
import type { Settings } from './settings/table.js';

/** What `start` runs with when no settings are named: everything on this machine. */
const developmentSettings = fileURLToPath(
  new URL('../../config/development/gateway.yaml', import.meta.url),
);

async function main(): Promise<void> {
  const line = parseCommandLine(process.argv.slice(2), process.env);
  switch (line.kind) {
    case 'help':
      process.stdout.write(renderHelp(line.topic, describeSettings));
      return;
    case 'version':
      process.stdout.write(`${version()}\n`);
      return;
    case 'usage-error':
      process.stderr.write(reportUsage(line.messages));
      process.exitCode = EXIT_USAGE;
      return;
    case 'run': {
      const { name, operands, options } = line;
      const command = findCommand(name);
      const byDefault = command.online ? !options.has('file') : command.developmentSettings;
      const from = byDefault ? { ...line, config: line.config ?? developmentSettings } : line;
      if (command.online) {
        const { askGateway } = await import('./cli/online.js');
        const settingsNamed = line.config !== undefined;
        const asked = { command, operands, options, settingsNamed };
        process.exitCode = await askGateway(await settingsOf(from), asked);
        return;
      }
      const exitCode = await command.run({
        operands,
        options,
        commands,
        processes: processesFor(from),
        settings: () => settingsOf(from),
        print: (text) => void process.stdout.write(text),
      });
      if (exitCode !== undefined) process.exitCode = exitCode;
      return;
    }
  }
}

/** `start` gives its own settings to the processes that it starts. */
function processesFor({ config, overrides }: SettingsArguments): Processes {
  return {
    async start(settings) {
      const { runStart } = await import('./processes/start.js');
      await runStart(settings, {
        mainFile: fileURLToPath(import.meta.url),
        settingsArguments: [
          ...(config === undefined ? [] : ['--config', config]),
          ...overrides.flatMap(([name, text]) => ['--set', `${name}=${text}`]),
        ],
      });
    },
    async controlPlane(settings) {
      const { runControlPlane } = await import('./processes/control-plane.js');
      await runControlPlane(settings);
    },
    async authz(settings) {
      const { runAuthz } = await import('./processes/authz.js');
      await runAuthz(settings);
    },
    async runner(settings) {
      const { runRunner } = await import('./processes/runner.js');
      await runRunner(settings);
    },
    async playground(settings) {
      const { runPlayground } = await import('./processes/playground.js');
      await runPlayground(settings);
    },
    async issuer(settings) {
      const { runIssuer } = await import('./processes/issuer.js');
      await runIssuer(settings);
    },
    async bootstrap(settings) {
      const { bootstrapOf } = await import('./processes/envoy-bootstrap.js');
      return bootstrapOf(settings);
    },
    async writeBootstrap(settings, file) {
      const { writeBootstrap } = await import('./processes/envoy-bootstrap.js');
      writeBootstrap(settings, file);
    },
    async kubernetes(settings) {
      const { connectKubernetes } = await import('./processes/kubernetes.js');
      return connectKubernetes(settings, { userAgent: 'spark-gateway-analyze' });
    },
    async token(settings, user, ttlMs) {
      const { printToken } = await import('./processes/issuer.js');
      await printToken(settings, user, ttlMs);
    },
  };
}

/** A reader that takes nothing must not keep an ended role alive. */
const LONGEST_WRITE_MS = 5000;

function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    // Whoever read it has seen enough, as `| head` does.
    stream.on('error', () => resolve());
    stream.write('', () => resolve());
  });
}

function settingsOf({ config, overrides }: SettingsArguments): Promise<Settings> {
  return loadSettings({ file: config, overrides, env: process.env, cwd: process.cwd() });
}

try {
  await main();
} catch (error) {
  const { text, exitCode } = reportFailure(error);
  process.stderr.write(text);
  process.exitCode = exitCode;
}
// Exit drops what a pipe's reader has not taken yet.
await Promise.race([
  Promise.all([written(process.stdout), written(process.stderr)]),
  pause(LONGEST_WRITE_MS),
]);
// Handles that are still open (a client's connection, a watch) must not keep an ended role alive.
process.exit();
