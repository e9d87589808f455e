import type { ApiRequest } from '../../src/lib/kubernetes/kubernetes-api.js';
import { errorOfStatus, KubernetesError } from '../../src/lib/kubernetes/http.js';
import type { KubernetesObject } from '../../src/lib/kubernetes/objects.js';

/** What becomes of a request: carried out and answered, carried out but the answer is lost, lost itself, or put off by a server that sheds load. */
export type Fate = 'answered' | 'answer lost' | 'lost' | 'put off';

/** `resourceAttributes` of a SubjectAccessReview. */
export interface ReviewedAttributes {
  readonly namespace?: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  readonly name?: string;
  readonly verb: string;
}

/** Objects by path, with resource versions and conflicts as the API server has them. For tests that need time to stand still. */
export class FakeKubernetes {
  readonly objects = new Map<string, KubernetesObject>();
  /** Decides over each request; called before it is carried out. */
  fate: (request: ApiRequest) => Fate = () => 'answered';
  /** What those are told that are put off. */
  retryAfterSeconds = 1;
  /** Decides over access reviews, of whoever they are about. */
  may: (attributes: ReviewedAttributes) => boolean = () => true;
  /** Throws for an object that admission refuses. */
  admit: (object: KubernetesObject) => void = () => {};
  #version = 0;

  request = async <T>(request: ApiRequest): Promise<T> => {
    const fate = this.fate(request);
    if (fate === 'lost') throw new KubernetesError(0, 'ECONNRESET', 'the request was lost');
    if (fate === 'put off') {
      throw errorOfStatus(429, undefined, request.path, String(this.retryAfterSeconds));
    }
    const answer = this.#carryOut(request);
    if (fate === 'answer lost') throw new KubernetesError(0, 'ECONNRESET', 'the answer was lost');
    return answer as T;
  };

  #carryOut({ method = 'GET', path, body, query }: ApiRequest): KubernetesObject {
    if (method === 'POST' && path.endsWith('subjectaccessreviews')) return this.#review(body);
    const given = body as KubernetesObject | undefined;
    const key = method === 'POST' ? `${path}/${given?.metadata.name}` : path;
    const found = this.objects.get(key);
    if (method === 'POST' ? found : !found) {
      const status = found ? 409 : 404;
      throw new KubernetesError(status, found ? 'AlreadyExists' : 'NotFound', key);
    }
    if (method === 'GET') return structuredClone(found as KubernetesObject);
    if (method === 'DELETE') {
      this.objects.delete(key);
      return found as KubernetesObject;
    }
    if (given) this.admit(given);
    if (query?.['dryRun'] === 'All') return structuredClone(given as KubernetesObject);
    const expected = given?.metadata.resourceVersion;
    if (found && expected !== undefined && expected !== found.metadata.resourceVersion) {
      throw new KubernetesError(409, 'Conflict', key);
    }
    const object = structuredClone(given) as KubernetesObject;
    this.#version += 1;
    const stored = {
      ...object,
      metadata: { ...object.metadata, resourceVersion: String(this.#version) },
    };
    this.objects.set(key, stored);
    return structuredClone(stored);
  }

  #review(body: unknown): KubernetesObject {
    const review = body as KubernetesObject & {
      readonly spec: { readonly resourceAttributes: ReviewedAttributes };
    };
    const status = { allowed: this.may(review.spec.resourceAttributes) };
    return { ...review, status } as KubernetesObject;
  }
}
