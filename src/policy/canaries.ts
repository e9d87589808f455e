/** A share of the new sessions of some namespaces goes to another variant of their drivers. */
import type { CanaryPolicy, PoolPolicy } from '../model/policy.js';
import {
  about,
  object,
  optional,
  type Reader,
  required,
  text,
  type TypeOf,
  withDefault,
} from '../lib/yaml/schema.js';
import { choice, integer, matching, textType } from '../lib/yaml/text-types.js';
import { sizeWithinMaximum } from './texts.js';
import { byNamespace, compileMatch, matchField } from './match.js';
import type { NamespaceTemplate } from './namespace-template.js';

const templateName = matching(
  'a name of lower-case letters, digits, "." and "-"',
  /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/,
);

const share = textType(
  'a share such as 5% or 0.5%',
  (written) => {
    const percent = Number(/^(\d{1,3}(\.\d{1,3})?)%$/.exec(written)?.[1]);
    return percent <= 100 ? percent / 100 : undefined;
  },
  { type: 'string', pattern: '^\\d{1,3}(\\.\\d{1,3})?%$' },
);

export const canaryEntry = object(
  'a canary',
  {
    match: matchField,
    template: about(
      'Its drivers: a template of drivers.kubernetes.templates_file, a variant of drivers.local.variants, or of drivers.static_file, by name.',
      required(text(templateName)),
    ),
    share: about('Of the new sessions that no canary above takes.', required(text(share))),
    sticky: about(
      'Whose sessions go the same way: those of one principal, or each for itself.',
      withDefault(text(choice('principal', 'session')), 'principal'),
    ),
    when_none_is_ready: about(
      "What a session does while none of its drivers is free: take one of the pool's own, or wait. It waits for none that fail to start.",
      withDefault(text(choice('stable', 'wait')), 'stable'),
    ),
    size: about(
      "Drivers ready ahead of demand, beside those of the pool; default: the share of the pool's.",
      optional(text(integer(0, 1000))),
    ),
    maximum: about(
      "Drivers at most, beside those of the pool; default: the share of the pool's.",
      optional(text(integer(1, 10_000))),
    ),
  },
  { admission: [sizeWithinMaximum] },
);

export type CanaryEntry = TypeOf<typeof canaryEntry>;

/** Each pool with the canaries that are for its namespace, in their order. */
export function withCanaries(
  pool: (namespace: string) => PoolPolicy | undefined,
  entries: readonly CanaryEntry[],
  template: NamespaceTemplate,
): (namespace: string) => PoolPolicy | undefined {
  if (entries.length === 0) return pool;
  const compiled = entries.map((entry) => ({
    matches: compileMatch(entry.match, template),
    canary: Object.freeze<CanaryPolicy>({
      variant: entry.template,
      share: entry.share,
      sticky: entry.sticky,
      whenNoneIsReady: entry.when_none_is_ready,
      size: entry.size,
      maximum: entry.maximum,
    }),
  }));
  return byNamespace((namespace) => {
    const found = pool(namespace);
    const canaries = compiled.filter(({ matches }) => matches(namespace));
    if (!found || canaries.length === 0) return found;
    return Object.freeze({ ...found, canaries: canaries.map(({ canary }) => canary) });
  });
}

/** Mistakes that only a canary as a whole shows. */
export function checkCanaries(entries: readonly CanaryEntry[], reader: Reader): void {
  for (const entry of entries) {
    const { size, maximum } = entry;
    if (size !== undefined && maximum !== undefined && size > maximum) {
      reader.refuseAt(entry, 'size', `size (${size}) must not exceed maximum (${maximum})`);
    }
    if (size === 0 && entry.when_none_is_ready === 'stable') {
      reader.refuseAt(
        entry,
        'size',
        'with size 0 no driver would ever be made for this canary: say when_none_is_ready: wait, or a size',
      );
    }
  }
}
