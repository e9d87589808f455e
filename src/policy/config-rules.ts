/**
 * Spark settings that the Config RPC must not read or set. Only what the first bytes of a request
 * show is seen here, and only this RPC: SQL and code that a driver runs read its settings as well.
 */
import type { ConfigRequest, ShadowFinding, ShadowRequest, Target } from '../model/policy.js';
import { GatewayError } from '../model/errors.js';
import type { Caller } from '../model/principal.js';
import { quote } from '../lib/yaml/problem.js';
import {
  about,
  list,
  object,
  optional,
  type Reader,
  required,
  text,
  type TypeOf,
  withDefault,
} from '../lib/yaml/schema.js';
import { choice, matching, plainText } from '../lib/yaml/text-types.js';
import { NameSet } from './name-patterns.js';
import { modeField } from './texts.js';
import { compileMatch, matchField } from './match.js';
import type { NamespaceTemplate } from './namespace-template.js';
import { checkWho, compileWho, type KnownNames, matchesWho, whoEntry } from './who.js';

const settingPattern = matching(
  "a Spark setting's name, in which * stands for any text",
  /^[A-Za-z0-9_.*-]{1,200}$/,
);

export const configRuleEntry = object('a config rule', {
  name: about('For people only.', optional(text(plainText))),
  keys: about('The settings that it protects.', required(list(text(settingPattern), { least: 1 }))),
  refuse: about(
    'What it keeps people from; default: both.',
    withDefault(list(text(choice('get', 'set')), { least: 1 }), ['get', 'set'] as const),
  ),
  when_unseen: about(
    'What becomes of a request of which the gateway sees only a part.',
    withDefault(text(choice('refuse', 'allow')), 'refuse'),
  ),
  match: matchField,
  mode: modeField,
  except: about('Whom it is not for; default: nobody.', withDefault(list(whoEntry), [])),
});

type ConfigRuleEntry = TypeOf<typeof configRuleEntry>;

interface Rule {
  readonly name: string;
  readonly entry: ConfigRuleEntry;
  readonly keys: NameSet;
  isFor(caller: Caller, namespace: string): boolean;
}

export interface ConfigRules {
  /** The first rule that refuses counts. */
  refuse(caller: Caller, target: Target, config: ConfigRequest): GatewayError | undefined;
  /** undefined: no rule is in shadow mode. */
  shadows: ((request: ShadowRequest) => ShadowFinding | undefined) | undefined;
}

export function compileConfigRules(
  entries: readonly ConfigRuleEntry[],
  known: KnownNames,
  template: NamespaceTemplate,
  reader: Reader,
): ConfigRules {
  const rules = entries.map((entry): Rule => {
    for (const who of entry.except) checkWho(who, known, reader);
    const except = entry.except.map(compileWho);
    const matches = compileMatch(entry.match, template);
    return {
      name: entry.name ?? `line ${reader.placeOf(entry)?.line}`,
      entry,
      keys: new NameSet(entry.keys),
      isFor: (caller, namespace) =>
        matches(namespace) && !except.some((who) => matchesWho(who, caller)),
    };
  });
  const enforced = rules.filter(({ entry }) => entry.mode === 'enforce');
  const shadows = rules.filter(({ entry }) => entry.mode === 'shadow');
  return {
    refuse: (caller, target, config) => firstRefusal(enforced, caller, target, config)?.refusal,
    shadows:
      shadows.length === 0
        ? undefined
        : ({ caller, config, target }) => config && firstRefusal(shadows, caller, target, config),
  };
}

function firstRefusal(
  rules: readonly Rule[],
  caller: Caller,
  target: Target,
  config: ConfigRequest,
): (ShadowFinding & { readonly refusal: GatewayError }) | undefined {
  for (const rule of rules) {
    const message = rule.isFor(caller, target.namespace) ? whyRefused(rule, config) : undefined;
    if (message === undefined) continue;
    return { rule: rule.name, refusal: new GatewayError('CONFIG_REFUSED', message), message };
  }
  return undefined;
}

const ASK = 'Leave it out, or ask the owners of the Spark gateway.';

function whyRefused({ entry, keys }: Rule, config: ConfigRequest): string | undefined {
  const { refuse } = entry;
  const read = refuse.includes('get') && config.reads.find((key) => keys.matches(key));
  if (read) return `The policy keeps the setting ${quote(read)} from being read. ${ASK}`;
  const written = refuse.includes('set') && config.writes.find((key) => keys.matches(key));
  if (written) return `The policy keeps the setting ${quote(written)} from being set. ${ASK}`;
  const listed = refuse.includes('get') && config.lists.some((prefix) => mayList(entry, prefix));
  const protectedKeys = entry.keys.slice(0, 5).join(', ');
  if (listed) {
    return `This would list settings that the policy keeps from being read (${protectedKeys}). Read those that you need by their names.`;
  }
  return config.whole || entry.when_unseen === 'allow'
    ? undefined
    : `This request is longer than the gateway reads, and the policy protects some settings (${protectedKeys}). Read or set fewer settings at a time, with shorter values.`;
}

/** Whether a setting that begins with the prefix could be one of the rule's. */
function mayList({ keys }: ConfigRuleEntry, prefix: string): boolean {
  return keys.some((key) => {
    const star = key.indexOf('*');
    if (star === -1) return key.startsWith(prefix);
    const beginning = key.slice(0, star);
    return beginning.startsWith(prefix) || prefix.startsWith(beginning);
  });
}
