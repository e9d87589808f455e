/**
 * The policy in force from a custom resource: each replica watches it by itself and puts every good
 * change in force; whoever leads writes into its status what became of it.
 */
import type { Logger } from 'pino';
import type { KubernetesApi } from '../../lib/kubernetes/kubernetes-api.js';
import { Reflector } from '../../lib/kubernetes/reflector.js';
import { collectionPath, type KubernetesObject } from '../../lib/kubernetes/objects.js';
import type { Clock } from '../../model/clock.js';
import { toGatewayError } from '../../model/errors.js';
import type { ObjectReference } from '../../model/fleet-problem.js';
import type { Policy } from '../../model/policy.js';
import { NewestPolicy } from '../aside/compile-aside.js';
import { compilePolicy, type PolicyOptions } from '../compile.js';
import {
  type KeptPolicy,
  LastGoodPolicy,
  type PolicySource,
  type PolicyStatus,
} from './last-good.js';
import { KIND, PLURAL, RESOURCE_API_VERSION } from './policy-resource-schema.js';
import { type PolicyResourceStatus, statusOf, StatusWriter } from './policy-resource-status.js';

export interface PolicyResourceOptions {
  readonly api: Pick<KubernetesApi, 'request' | 'watch'>;
  readonly namespace: string;
  readonly name: string;
  readonly compile: PolicyOptions;
  /** Used at a start while the resource is bad or missing and its status tells of no good policy. */
  readonly kept: KeptPolicy;
  /** Whether this replica writes the status. While no replica has a policy none leads, and all do. */
  readonly leads: () => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The resource as it was seen last. */
interface Seen {
  readonly uid: string;
  readonly generation: number;
  readonly resourceVersion: string;
  readonly spec: object;
  readonly status: PolicyResourceStatus;
}

interface Judged extends Pick<Seen, 'uid' | 'generation'> {
  readonly error: string | undefined;
}

export class PolicyResource implements PolicySource {
  readonly source: string;
  readonly #options: PolicyResourceOptions;
  readonly #lastGood: LastGoodPolicy;
  readonly #reflector: Reflector<Seen>;
  readonly #writer: StatusWriter;
  /** The last good policy of an earlier process on this machine. */
  readonly #earlier: string | undefined;
  readonly #newest: NewestPolicy;
  #judging: Pick<Seen, 'uid' | 'generation'> | undefined;
  #judged: Judged | undefined;

  /** Resolves when a policy is in force, be it the last good one; with undefined when the signal fires before that. */
  static async open(
    options: PolicyResourceOptions,
    signal: AbortSignal,
  ): Promise<PolicyResource | undefined> {
    const resource = new PolicyResource(options, await options.kept.read());
    resource.#reflector.start();
    if (await resource.#lastGood.arrived(signal)) return resource;
    await resource.close();
    return undefined;
  }

  private constructor(options: PolicyResourceOptions, earlier: string | undefined) {
    const { api, namespace, name, compile, clock, logger } = options;
    const path = collectionPath(RESOURCE_API_VERSION, namespace, PLURAL);
    this.source = `${KIND} ${namespace}/${name}`;
    this.#options = options;
    this.#earlier = earlier;
    this.#newest = new NewestPolicy(compile);
    this.#lastGood = new LastGoodPolicy({ what: this.source, clock, logger });
    this.#reflector = new Reflector<Seen>({
      api,
      path,
      fieldSelector: `metadata.name=${name}`,
      keep: seen,
      clock,
      logger,
      onChange: () => this.#look(),
    });
    this.#writer = new StatusWriter({
      api,
      path: `${path}/${name}`,
      clock,
      logger,
      onFailure: () => this.report(),
    });
  }

  get current(): Policy {
    return this.#lastGood.current;
  }

  get status(): PolicyStatus {
    return this.#lastGood.status;
  }

  /** The resource, where problems with it are told. */
  get reference(): ObjectReference {
    const { namespace, name } = this.#options;
    const [found] = this.#reflector.values();
    const uid = found ? { uid: found.uid } : {};
    return { apiVersion: RESOURCE_API_VERSION, kind: KIND, namespace, name, ...uid };
  }

  onChange(listener: (policy: Policy) => void): () => void {
    return this.#lastGood.onChange(listener);
  }

  /** Writes the status if that is this replica's to do and it says something else; to be called when that may have changed. */
  report(): void {
    const [object] = this.#reflector.values();
    const judged = this.#judged;
    if (!object || !judged || !isOf(judged, object)) return;
    if (this.#lastGood.isThere && !this.#options.leads()) return;
    const { version, text } = this.#lastGood.status;
    const inForce = this.#lastGood.isThere ? { version, document: text } : undefined;
    const { error, generation } = judged;
    const { status, resourceVersion } = object;
    const next = statusOf({ generation, error, inForce }, status, this.#options.clock.now());
    this.#writer.write(next, status, resourceVersion);
  }

  async close(): Promise<void> {
    this.#newest.giveUp();
    this.#lastGood.close();
    await this.#reflector.stop();
    await this.#writer.close();
    await this.#options.kept.close();
  }

  #look(): void {
    const [object] = this.#reflector.values();
    if (object) {
      const known = this.#judging ?? this.#judged;
      if (!known || !isOf(known, object)) void this.#judge(object);
      this.report();
    } else if (this.#reflector.problem === undefined) {
      this.#newest.giveUp();
      this.#judging = undefined;
      this.#judged = undefined;
      this.#refuse(`${this.source} does not exist: apply it`, undefined);
    }
  }

  async #judge({ uid, generation, spec, status }: Seen): Promise<void> {
    this.#judging = { uid, generation };
    let error: string | undefined;
    try {
      const compiled = await this.#newest.compile({ spec });
      if (!compiled) return;
      this.#lastGood.take(compiled.policy, compiled.text);
      this.#options.kept.keep(compiled.text);
    } catch (thrown) {
      ({ message: error } = toGatewayError(thrown));
      this.#refuse(error, status.inForce?.document);
    }
    this.#judging = undefined;
    this.#judged = { uid, generation, error };
    this.report();
  }

  /** `former`: the last good policy as the resource tells it. */
  #refuse(error: string, former: string | undefined): void {
    if (!this.#lastGood.isThere) {
      const { kept } = this.#options;
      if (former === undefined || !this.#restore(former, `${this.source} status.inForce`)) {
        if (this.#earlier !== undefined) this.#restore(this.#earlier, kept.file);
      }
    }
    this.#lastGood.refuse(error);
  }

  #restore(text: string, from: string): boolean {
    const { compile, logger } = this.#options;
    try {
      this.#lastGood.take(compilePolicy(text, from, compile), text);
      return true;
    } catch (thrown) {
      const { message: error } = toGatewayError(thrown);
      logger.warn({ error, from }, 'the last good policy is not good with these settings');
      return false;
    }
  }
}

function isOf({ uid, generation }: Pick<Seen, 'uid' | 'generation'>, object: Seen): boolean {
  return uid === object.uid && generation === object.generation;
}

function seen(object: KubernetesObject): Seen {
  const { uid = '', resourceVersion = '', generation = 0 } = object.metadata;
  const spec =
    'spec' in object && typeof object.spec === 'object' && object.spec ? object.spec : {};
  const status: PolicyResourceStatus =
    'status' in object && typeof object.status === 'object' && object.status ? object.status : {};
  return { uid, generation, resourceVersion, spec, status };
}
