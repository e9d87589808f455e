import type { Assertions } from 'ava';
import { GrpcStatus } from '../../src/model/errors.js';
import type { Rpc, SparkClient } from './spark-client.js';
import type { DriverCall, SparkDriver } from './spark-driver.js';

/** A query whose streams both ways are open, with messages both ways already. */
export class RunningQuery {
  /** The driver's side of it. */
  readonly call: DriverCall;
  readonly #rpc: Rpc;

  private constructor(rpc: Rpc, call: DriverCall) {
    this.#rpc = rpc;
    this.call = call;
  }

  /** The driver leaves its calls to the test. */
  static async start(client: SparkClient, driver: SparkDriver): Promise<RunningQuery> {
    const rpc = client.open('ExecutePlan');
    const arrived = driver.nextCall();
    // More than authz waits for.
    rpc.send('plan'.repeat(2_000));
    const call = await arrived;
    call.send('before');
    await rpc.messages(1);
    return new RunningQuery(rpc, call);
  }

  /** It gets further rows, and ends as it would have. */
  async endsWell(t: Assertions): Promise<void> {
    this.call.send('after');
    t.deepEqual(await this.#rpc.messages(2), ['before', 'after']);
    this.#rpc.halfClose();
    await this.call.halfClosed;
    this.call.end();
    t.is((await this.#rpc.status).code, GrpcStatus.OK);
  }
}
