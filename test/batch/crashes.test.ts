/**
 * Whatever fails in whatever order, and whenever another leader takes over: a job that was answered once
 * is never unknown, runs once at most, is never called failed for a doubt, and what was cancelled ends.
 */
import test from 'ava';
import * as fc from 'fast-check';
import { GatewayError, toGatewayError } from '../../src/model/errors.js';
import { hasEnded, type JobState } from '../../src/model/job.js';
import { ALICE, BatchWorld } from '../support/batch-world.js';
import type { BackendOutcome } from '../support/fake-batch-backend.js';
import { settle } from '../support/manual-clock.js';
import type { StoreOutcome } from '../support/memory-job-store.js';
import { tries } from '../support/tries.js';

type Step =
  | {
      readonly kind: 'submit' | 'cancel' | 'run' | 'complete' | 'vanish' | 'leave pod';
      readonly job: number;
    }
  | { readonly kind: 'crash' }
  | { readonly kind: 'store'; readonly outcome: StoreOutcome }
  | { readonly kind: 'backend'; readonly outcome: BackendOutcome }
  | { readonly kind: 'see' | 'read' | 'keep'; readonly well: boolean }
  | { readonly kind: 'wait'; readonly ms: number };

const job = fc.nat({ max: 2 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('submit' as const), job }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'cancel' as const,
        'run' as const,
        'complete' as const,
        'vanish' as const,
        'leave pod' as const,
      ),
      job,
    }),
  },
  { weight: 2, arbitrary: fc.constant({ kind: 'crash' as const }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('store' as const),
      outcome: fc.constantFrom<StoreOutcome>('ok', 'lost', 'unanswered'),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('backend' as const),
      outcome: fc.constantFrom<BackendOutcome>('ok', 'lost', 'unanswered'),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('see' as const, 'read' as const, 'keep' as const),
      well: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      ms: fc.constantFrom(0, 1, 600, 20_000),
    }),
  },
);

class Model {
  readonly world = new BatchWorld({ pendingLimitMs: 86_400_000 });
  readonly ids = new Map<number, string>();
  /** Ends that somebody was told. */
  readonly told = new Map<string, JobState>();
  readonly cancelled = new Set<string>();
  /** Somebody asked for their end, and may have been told that it is open whether that was stored. */
  readonly asked = new Set<string>();

  async do(next: Step): Promise<void> {
    const { world } = this;
    const { backend, store } = world;
    const id = 'job' in next ? this.ids.get(next.job) : undefined;
    switch (next.kind) {
      case 'submit':
        await this.#try(async () => {
          const options = { client_request_id: `request-${next.job}`, ttl_seconds: '86400' };
          const { record } = await world.submit({ options });
          this.ids.set(next.job, record.job.id);
        });
        break;
      case 'cancel':
        if (id === undefined) break;
        this.asked.add(id);
        await this.#try(async () => {
          await world.jobs.cancel(ALICE, id);
          this.cancelled.add(id);
        });
        break;
      case 'run':
        if (id !== undefined && backend.applications.get(id)?.status.state === 'PENDING') {
          backend.set(id, { state: 'RUNNING', attempt: 1, applicationId: 'app-1' });
        }
        break;
      case 'complete':
        if (id !== undefined && backend.applications.has(id)) {
          world.report(id);
          backend.set(id, { state: 'SUCCEEDED', attempt: 1, applicationId: 'app-1', exitCode: 0 });
        }
        break;
      case 'vanish':
        // As the operator's TTL does: only what is over.
        if (id !== undefined && backend.applications.get(id)?.status.state === 'SUCCEEDED') {
          backend.vanish(id);
        }
        break;
      case 'leave pod':
        // Of an application that was deleted while its driver was being made.
        if (id !== undefined && this.cancelled.has(id) && !backend.applications.has(id)) {
          backend.leavePod('sjns-ads-staging', id);
        }
        break;
      case 'crash':
        await world.crash();
        break;
      case 'store':
        store.outcomes.push(next.outcome);
        break;
      case 'backend':
        backend.outcomes.push(next.outcome);
        break;
      case 'see':
        backend.see(!next.well);
        break;
      case 'read':
        world.reportsReadable = next.well;
        break;
      case 'keep':
        store.readable = next.well;
        break;
      case 'wait':
        await world.clock.advance(next.ms);
        break;
    }
    await settle();
    this.check();
  }

  check(): void {
    for (const id of this.ids.values()) {
      let state: JobState;
      try {
        state = this.world.state(id);
      } catch (error) {
        if (error instanceof GatewayError && error.code === 'JOB_UNKNOWN') throw error;
        continue;
      }
      if (state === 'FAILED') throw new Error(`${id} is FAILED`);
      const before = this.told.get(id);
      if (before !== undefined && state !== before)
        throw new Error(`${id}: ${before}, then ${state}`);
      if (hasEnded(state)) this.told.set(id, state);
    }
    for (const [id, times] of this.world.backend.made) {
      if (times > 1) throw new Error(`${id} was made ${times} times`);
    }
  }

  /** Everything works again; what is to happen does. */
  async heal(): Promise<void> {
    const { world } = this;
    world.store.outcomes.length = 0;
    world.backend.outcomes.length = 0;
    world.store.readable = true;
    world.reportsReadable = true;
    world.backend.see(false);
    for (let n = 0; n < 12; n += 1) {
      await world.clock.advance(10_000);
      this.check();
    }
  }

  async #try(work: () => Promise<void>): Promise<void> {
    // What is under way waits for nothing but timers.
    const done = work().catch((error: unknown) => {
      if (toGatewayError(error).code !== 'CONTROL_PLANE_UNAVAILABLE') throw error;
    });
    const running = new Set([done]);
    void done.finally(() => running.clear()).catch(() => undefined);
    for (let n = 0; n < 20 && running.size > 0; n += 1) await this.world.clock.advance(500);
    await done;
  }
}

test('jobs through crashes, lost answers and doubt', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 40 }), async (steps) => {
      const model = new Model();
      await settle();
      for (const next of steps) await model.do(next);
      await model.heal();
      const { world, asked, cancelled, ids } = model;
      for (const id of ids.values()) {
        const state = world.state(id);
        if (cancelled.has(id)) {
          t.true(state === 'CANCELLED' || state === 'COMPLETED', `${id} is ${state}`);
        } else if (!asked.has(id)) {
          t.true(state === 'COMPLETED' || world.backend.applications.has(id), `${id} is ${state}`);
        }
        if (state === 'CANCELLED') {
          t.false(world.backend.applications.has(id), 'nothing of it is left');
          t.false(world.backend.pods.has(id), 'nor a pod');
        }
      }
      await world.close();
    }),
    { numRuns: tries(100) },
  );
});
