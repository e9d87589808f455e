/** `policy explain`. */
import { GatewayError } from '../../model/errors.js';
import type { BatchExplanation, BatchGrant } from '../../model/batch-policy.js';
import type { Explanation } from '../../model/policy.js';
import { parseOptions } from '../../manifest/options.js';
import { resourcesOf } from '../../manifest/parse.js';
import { readManifestFile } from '../manifest-file.js';
import { type OnlineCommand, type OnlineContext, queryOf } from '../command.js';
import { type Shown, printable } from '../render.js';

export const policyExplain: OnlineCommand = {
  name: 'policy explain',
  about:
    'Why the policy in force allows or refuses a request, step by step and rule by rule. Without --user and --service it is about yourself.',
  options: [
    {
      name: 'file',
      value: 'file',
      about:
        'By this policy, with the settings of authz, and without a gateway; instead of the one in force.',
    },
    { name: 'user', value: 'principal', about: 'Whose request, such as ann@example.com.' },
    { name: 'groups', value: 'a,b', about: 'The groups in their token.' },
    { name: 'claims', value: 'json', about: `Further claims, such as '{"team": "data"}'.` },
    { name: 'issuer', value: 'url', about: 'Who gave the token; else the first of the policy.' },
    { name: 'service', value: 'name', about: 'A service of the policy, instead of a person.' },
    { name: 'team', value: 'team', about: 'As in the header that names the team.' },
    {
      name: 'environment',
      value: 'environment',
      about: 'As in the header that names the environment.',
    },
    { name: 'host', value: 'host', about: 'The host that the client connects to.' },
    { name: 'user-id', value: 'text', about: 'user_id of the connection string.' },
    {
      name: 'manifest',
      value: 'file',
      about:
        'A batch job with this manifest instead of a request: --service submits it, for --user with --groups or for itself.',
    },
    {
      name: 'job-options',
      value: 'a=b,c=d',
      about: "The job's options, such as sandbox_mode=false,ttl_seconds=600.",
    },
  ],
  settingsOf: 'operator',
  online: true,
  check: byFileProblems,
  show: explain,
};

/** What only a gateway that runs makes sense of. */
const ONLY_ONLINE = ['server', 'token-file', 'as', 'ca-file'];

/** What is wrong with these options, one line each. */
function byFileProblems(options: ReadonlyMap<string, string>): readonly string[] {
  if (!options.has('file')) return [];
  const asksGateway = ONLY_ONLINE.filter((name) => options.has(name));
  return [
    ...asksGateway.map((name) => `--${name} is for a gateway that runs: leave it out with --file`),
    ...(options.has('user') || options.has('service')
      ? []
      : ['--file needs --user or --service: without a gateway nobody knows who you are']),
  ];
}

async function explain(context: OnlineContext): Promise<Shown> {
  const { options } = context;
  const principal = options.get('user');
  const groups = options.get('groups');
  const claims = options.get('claims');
  const userId = options.get('user-id');
  const explanation = await context.client.post<Explanation | BatchExplanation>('policy/explain', {
    ...(await jobOf(options)),
    ...queryOf(context, ['issuer', 'service', 'team', 'environment', 'host']),
    ...(principal === undefined ? {} : { principal }),
    ...(groups === undefined ? {} : { groups: groups.split(',').map((group) => group.trim()) }),
    ...(claims === undefined ? {} : { claims: claimsOf(claims) }),
    ...(userId === undefined ? {} : { userId }),
  });
  return { value: explanation, people: () => renderExplanation(explanation) };
}

/** What counts of a manifest; its team, if none is named. */
async function jobOf(options: ReadonlyMap<string, string>): Promise<object> {
  const file = options.get('manifest');
  if (file === undefined) return {};
  const manifest = await readManifestFile(file);
  const { sandbox, ttlSeconds } = parseOptions(pairsOf(options.get('job-options') ?? ''));
  const { executor, driver, dynamicAllocation } = resourcesOf(manifest);
  return {
    team: manifest.metadata.team,
    job: {
      engine: manifest.spec.engine.version,
      sandbox_mode: sandbox,
      ttl_seconds: ttlSeconds,
      resources: {
        driver,
        executor,
        dynamicAllocation: { enabled: dynamicAllocation !== undefined, ...dynamicAllocation },
      },
    },
  };
}

/** `a=b,c=d`. */
function pairsOf(text: string): Readonly<Record<string, string>> {
  const pairs = text === '' ? [] : text.split(',').map((pair) => pair.trim());
  return Object.fromEntries(
    pairs.map((pair) => {
      const [name, ...value] = pair.split('=');
      return [name, value.join('=')];
    }),
  );
}

function claimsOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new GatewayError('ARGUMENT_INVALID', `--claims ${text}: this is not JSON`, {
      cause: error,
    });
  }
}

// Why a request is allowed or refused, for people.

/** Ends with a line break. */
function renderExplanation(explanation: Explanation | BatchExplanation): string {
  const { allowed, policyVersion, refusal, steps } = explanation;
  const rules = 'rules' in explanation ? explanation.rules : [];
  const width = Math.max(...steps.map(({ step }) => step.length));
  const [who, namespace] =
    'place' in explanation ? jobTitles(explanation) : requestTitles(explanation);
  const lines = [
    `${who} is ${allowed ? 'allowed' : 'refused'}${namespace === undefined ? '' : ` in ${namespace}`} by policy ${policyVersion}.`,
    ...(refusal ? [`${refusal.code}: ${refusal.message}`] : []),
    '',
    ...steps.map(({ step, outcome, reason }) =>
      `  ${step.padEnd(width)}  ${outcome}${reason === '' ? '' : `: ${reason}`}`.trimEnd(),
    ),
    ...('grant' in explanation && explanation.grant ? ['', ...grantLines(explanation.grant)] : []),
    ...(rules.length === 0 ? [] : ['', 'Rules:']),
    ...rules.map(({ number, name, line, allows, reason }) => {
      const title = name === undefined ? '' : ` ${name}`;
      const place = line === undefined ? '' : ` (line ${line})`;
      return `  ${number}${title}${place}: ${allows ? 'allows; ' : ''}${reason}`;
    }),
  ];
  return `${lines.map(cleaned).join('\n')}\n`;
}

type Titles = readonly [who: string, namespace: string | undefined];

function requestTitles({ caller, target }: Explanation): Titles {
  const groups = caller.groups.length === 0 ? '' : `, groups ${caller.groups.join(', ')}`;
  return [`${caller.subject} (${caller.issuer}${groups})`, target?.namespace];
}

function jobTitles({ identity, place }: BatchExplanation): Titles {
  const { groups, service, user } = identity;
  const named = groups.length === 0 ? '' : ` with groups ${groups.join(', ')}`;
  const whose = user === '' ? '' : ` for ${user}${named}`;
  return [`A batch job of service ${service}${whose}`, place.namespace];
}

function limitShown(limit: number | undefined): string {
  return limit === undefined ? 'any number' : String(limit);
}

function grantLines({ image, limits, sandbox, template, ttlSeconds }: BatchGrant): string[] {
  const { jobsPerNamespace, jobsPerOwner, jobsPerTeam } = limits;
  return [
    `It runs for at most ${ttlSeconds} s, ${sandbox ? 'in' : 'outside'} the sandbox${template === undefined ? '' : `, from template ${template}`}${image === undefined ? '' : `, with image ${image}`}.`,
    `Jobs at a time: ${limitShown(jobsPerOwner)} of its owner, ${limitShown(jobsPerTeam)} of its team, ${limitShown(jobsPerNamespace)} in its namespace.`,
  ];
}

/** Keeps the indentation. */
function cleaned(line: string): string {
  const indentation = /^ */.exec(line)?.[0] ?? '';
  return indentation + printable(line);
}
