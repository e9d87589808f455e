/** Makes a job of a submission: checks it, decides about it, and writes its record before it answers. */
import { jobIdOf, namespaceOf } from '../manifest/ids.js';
import { canonicalJobFile, fingerprintOf } from '../manifest/job-file.js';
import { parseOptions } from '../manifest/options.js';
import { readManifest, resourcesOf } from '../manifest/parse.js';
import {
  type BatchIdentity,
  type JobLimits,
  type JobPlace,
  ownerOf,
  refuseOverLimit,
} from '../model/batch-policy.js';
import type { Clock } from '../model/clock.js';
import { GatewayError } from '../model/errors.js';
import { isPlayground } from '../model/job.js';
import type { Policy } from '../model/policy.js';
import type { Backends } from './backends.js';
import type { JobKeeper } from './keeper.js';
import type { JobLedger } from './records/job-ledger.js';
import type { JobRecord } from './records/job-record.js';

export interface JobSubmitterOptions {
  readonly ledger: JobLedger;
  readonly keeper: Pick<JobKeeper, 'submitted'>;
  readonly backends: Backends;
  readonly policy: () => Pick<Policy, 'batch'>;
  /** Jobs may read and write files of the machine that they run on. */
  readonly localPaths: boolean;
  /** Of the results of all jobs: a file:// or s3:// URL that ends with "/". */
  readonly outputUrl: string;
  /** How old a job may get, where nobody says otherwise. */
  readonly defaultTtlSeconds: number;
  /** Jobs that have not ended, at most. */
  readonly mostLive: number;
  readonly clock: Clock;
}

export interface Submission {
  readonly manifest: string;
  readonly team: string;
  readonly environment: string;
  readonly jobName: string;
  readonly options: Readonly<Record<string, string>>;
}

/** What jobs at a time are counted by. */
interface Counted {
  readonly user: string;
  readonly team: string;
  readonly namespace: string;
}

/** As much as a ConfigMap holds (1 MiB), and a record beside it in etcd (1.5 MiB in base64). */
const LARGEST_JOB_FILE_BYTES = 1_000_000;

export class JobSubmitter {
  readonly #o: JobSubmitterOptions;
  /** Being made: they count as jobs that have not ended. */
  readonly #coming = new Map<string, Counted>();

  constructor(options: JobSubmitterOptions) {
    this.#o = options;
  }

  /** Resolves when the job is durable; `tellId` is called before, as soon as its id is known. */
  async submit(
    asker: BatchIdentity,
    { manifest: text, team: named, environment, jobName, options: given }: Submission,
    tellId: (id: string) => void,
  ): Promise<{ readonly record: JobRecord; readonly made: boolean }> {
    const { ledger, backends, keeper, clock, outputUrl, localPaths } = this.#o;
    const user = ownerOf(asker);
    const options = parseOptions(given);
    const manifest = readManifest(text, {
      localPaths,
      ...(named === '' ? {} : { team: named }),
    });
    const { team, name } = manifest.metadata;
    const namespace = namespaceOf({ user, team, environment });
    const engineVersion = manifest.spec.engine.version;
    const resources = resourcesOf(manifest);
    const { sampling, clientRequestId } = options;
    const place = { team, environment, namespace };
    const grant =
      this.#o.policy().batch?.decideSubmit({
        ...place,
        identity: asker,
        engineVersion,
        resources,
        sandbox: options.sandbox,
        ttlSeconds: options.ttlSeconds,
        defaultTtlSeconds: this.#o.defaultTtlSeconds,
      }) ?? new GatewayError('BATCH_REFUSED', 'The policy says nothing of batch jobs.');
    if (grant instanceof GatewayError) throw grant;
    const { limits, sandbox, ttlSeconds, image, template } = grant;
    const id = jobIdOf({ user, team, environment, clientRequestId });
    tellId(id);
    const outputPath = `${outputUrl}${namespace}/${id}`;
    const facts = { jobId: id, team, environment, user, outputPath, sandbox, sampling };
    const fingerprint = fingerprintOf({ ...place, user, jobName, manifest, options });
    const known = ledger.get(id);
    if (!known && !this.#coming.has(id)) this.#refuseTooMany(limits, { user, ...place });
    const backend = backends.choose(namespace, []);
    if (!backend) throw new GatewayError('BATCH_REFUSED', 'This gateway runs no batch jobs.');
    const nowMs = clock.now();
    const jobFile = canonicalJobFile({ ...facts, manifest });
    if (jobFile.length > LARGEST_JOB_FILE_BYTES) {
      throw new GatewayError(
        'MANIFEST_INVALID',
        `The manifest has ${jobFile.length} bytes when it is compressed, and may have ${LARGEST_JOB_FILE_BYTES}: put data into files, and large SQL into views.`,
      );
    }
    this.#coming.set(id, { user, team, namespace });
    const { record, made } = await ledger
      .create({
        job: {
          id,
          namespace,
          team,
          environment,
          user,
          jobName: jobName === '' ? name : jobName,
          engineVersion,
          ...(image === undefined ? {} : { image }),
          ...(template === undefined ? {} : { template }),
          resources,
          outputPath,
          // People look at what they try out; what runs by itself is tried again.
          retries: !isPlayground(environment),
          ttlSeconds,
          fingerprint,
          submittedBy: asker.service,
          sandbox,
          createdAtMs: nowMs,
          deadlineMs: nowMs + ttlSeconds * 1000,
        },
        jobFile,
        cluster: backend.name,
        refusedBy: [],
        state: 'PENDING',
        history: [{ state: 'PENDING', atMs: nowMs }],
        attempt: 0,
        logOfAttempt: 0,
        swept: false,
        epoch: 0,
      })
      .finally(() => this.#coming.delete(id));
    if (made) {
      keeper.submitted(id);
      return { record, made };
    }
    const { job } = record;
    if (job.user !== user || job.fingerprint !== fingerprint || job.namespace !== namespace) {
      throw new GatewayError(
        'JOB_EXISTS',
        `Job ${id} was submitted before with another content: use another client_request_id, or submit exactly what you did before.`,
      );
    }
    return { record, made };
  }

  /** Counted with those that are being made: nobody else decides meanwhile. */
  #refuseTooMany(limits: JobLimits, job: Counted & JobPlace): void {
    const { mostLive, ledger } = this.#o;
    const counts = { ofOwner: 0, ofTeam: 0, inNamespace: 0 };
    let all = 0;
    const count = ({ user, team, namespace }: Counted) => {
      all += 1;
      if (user === job.user) counts.ofOwner += 1;
      if (team === job.team) counts.ofTeam += 1;
      if (namespace === job.namespace) counts.inNamespace += 1;
    };
    for (const live of ledger.live()) count(live.job);
    for (const [id, coming] of this.#coming) if (!ledger.get(id)) count(coming);
    const refusal = refuseOverLimit(limits, counts, { ...job, owner: job.user });
    if (refusal) throw refusal;
    if (all < mostLive) return;
    throw new GatewayError(
      'JOB_LIMIT_EXCEEDED',
      `The gateway has ${all} jobs that have not ended, which is as many as it takes (batch.jobs_maximum). Try again later.`,
      { retryAfterMs: 30_000 },
    );
  }
}
