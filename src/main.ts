#!/usr/bin/env node
/**
 * `spark-gateway`: reads the command line and runs what it names. Each role is imported when it is
 * the one to run, so that a sidecar does not load what the control plane needs.
 */
import { fileURLToPath } from 'node:url';
import { renderHelp } from './cli/help.js';
import { parseCommandLine, type SettingsArguments } from './cli/parse.js';
import { EXIT_FAILED, EXIT_USAGE, reportFailure, reportUsage } from './cli/report.js';
import { renderExample, describeSettings } from './settings/rows.js';
import { version } from './processes/process.js';
import { loadSettings } from './settings/compile.js';
import { describeGoodSettings } from './settings/policy-options.js';
import type { Settings } from './settings/table.js';

/** What `start` runs with when no settings are named: everything on this machine. */
const developmentSettings = fileURLToPath(
  new URL('../../config/development/gateway.yaml', import.meta.url),
);

async function main(): Promise<void> {
  const command = parseCommandLine(process.argv.slice(2), process.env);
  switch (command.kind) {
    case 'help':
      process.stdout.write(renderHelp(command.topic, describeSettings));
      return;
    case 'version':
      process.stdout.write(`${version()}\n`);
      return;
    case 'usage-error':
      process.stderr.write(reportUsage(command.messages));
      process.exitCode = EXIT_USAGE;
      return;
    case 'settings example':
      process.stdout.write(renderExample());
      return;
    case 'settings validate': {
      const settings = await settingsOf(command);
      const { validateTemplates } = await import('./cli/commands/policy-files.js');
      await validateTemplates(settings);
      process.stdout.write(describeGoodSettings(settings));
      return;
    }
    case 'policy validate': {
      const { validatePolicies } = await import('./cli/commands/policy-files.js');
      await validatePolicies(command.files, await settingsOf(command));
      return;
    }
    case 'completion': {
      const { renderCompletion } = await import('./cli/completion.js');
      process.stdout.write(renderCompletion(command.shell));
      return;
    }
    case 'policy test': {
      const { testPolicy } = await import('./cli/commands/policy-files.js');
      const passed = await testPolicy(command.files, await settingsOf(command), command.output);
      if (!passed) process.exitCode = EXIT_FAILED;
      return;
    }
    case 'policy compare': {
      const { comparePolicies } = await import('./cli/commands/policy-files.js');
      const same = await comparePolicies(command.files, await settingsOf(command), command.output);
      if (!same) process.exitCode = EXIT_FAILED;
      return;
    }
    case 'policy schema': {
      const { renderPolicySchema } = await import('./policy/sources/policy-resource-schema.js');
      process.stdout.write(renderPolicySchema());
      return;
    }
    case 'policy crd': {
      const { renderPolicyCrd } = await import('./policy/sources/policy-resource-schema.js');
      process.stdout.write(renderPolicyCrd());
      return;
    }
    case 'bootstrap': {
      const { bootstrapOf, writeBootstrap } = await import('./processes/bootstrap.js');
      const settings = await settingsOf(command);
      if (command.output === undefined) process.stdout.write(`${bootstrapOf(settings)}\n`);
      else writeBootstrap(settings, command.output);
      return;
    }
    case 'token': {
      const { printToken } = await import('./processes/issuer.js');
      await printToken(await settingsOf(withDefaults(command)), command.user, command.ttlMs);
      return;
    }
    case 'online': {
      const { askGateway } = await import('./cli/online.js');
      const settingsNamed = command.config !== undefined;
      const byFile = command.options.has('file');
      const settings = await settingsOf(byFile ? command : withDefaults(command));
      process.exitCode = await askGateway(settings, { ...command, settingsNamed });
      return;
    }
    case 'issuer': {
      const { runIssuer } = await import('./processes/issuer.js');
      await runIssuer(await settingsOf(command));
      return;
    }
    case 'control-plane': {
      const { runControlPlane } = await import('./processes/control-plane.js');
      await runControlPlane(await settingsOf(command));
      return;
    }
    case 'authz': {
      const { runAuthz } = await import('./processes/authz.js');
      await runAuthz(await settingsOf(command));
      return;
    }
    case 'start': {
      const { runStart } = await import('./processes/start.js');
      const complete = withDefaults(command);
      await runStart(await settingsOf(complete), {
        mainFile: fileURLToPath(import.meta.url),
        settingsArguments: [
          ...(complete.config === undefined ? [] : ['--config', complete.config]),
          ...complete.overrides.flatMap(([name, text]) => ['--set', `${name}=${text}`]),
        ],
      });
      return;
    }
  }
}

function withDefaults<T extends SettingsArguments>(command: T): T {
  return { ...command, config: command.config ?? developmentSettings };
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
// Handles that are still open (a client's connection, a watch) must not keep an ended role alive.
process.exit();
