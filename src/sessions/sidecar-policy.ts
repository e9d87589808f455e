/** What a sidecar told of the policy that it decides by. */
import type {
  ShadowReport as ShadowMessage,
  SidecarPolicy as PolicyMessage,
} from '#gen/spark_gateway/v1/assignments_pb.js';
import type { ShadowKind, ShadowReport, SidecarPolicy } from '../model/reports.js';

const sources: readonly string[] = ['policy', 'rule'] satisfies readonly ShadowKind['source'][];
const outcomes: readonly string[] = [
  'refuse',
  'allow',
  'move',
  'same',
] satisfies readonly ShadowKind['would'][];

export function readSidecarPolicy(
  { version, problem, shadow }: PolicyMessage,
  nowMs: number,
): SidecarPolicy {
  return {
    version,
    problem: problem === '' ? undefined : problem,
    shadow: shadow && readShadow(shadow, nowMs),
  };
}

/** What a sidecar of another release says in words that are not known is left out. */
function readShadow(
  { version, problem, counts, examples }: ShadowMessage,
  nowMs: number,
): ShadowReport {
  return {
    version: version === '' ? undefined : version,
    problem: problem === '' ? undefined : problem,
    counts: counts.flatMap(({ count, ...said }) => {
      const kind = kindOf(said);
      return kind ? [{ ...kind, count: Number(count) }] : [];
    }),
    examples: examples.flatMap(({ by, principal, method, message, ageMs, ...said }) => {
      const kind = kindOf(said);
      if (!kind || !principal) return [];
      const { issuer, subject } = principal;
      const atMs = nowMs - Number(ageMs);
      return [{ ...kind, by, principal: { issuer, subject }, method, message, atMs }];
    }),
  };
}

function kindOf(said: {
  readonly source: string;
  readonly would: string;
  readonly code: string;
}): ShadowKind | undefined {
  return isKind(said) ? { source: said.source, would: said.would, code: said.code } : undefined;
}

function isKind(said: {
  readonly source: string;
  readonly would: string;
  readonly code: string;
}): said is ShadowKind {
  return sources.includes(said.source) && outcomes.includes(said.would);
}
