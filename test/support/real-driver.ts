import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { sparkCommand, type SparkCommandOptions } from '../../src/discovery/local/spark-command.js';
import { http2Probe } from '../../src/discovery/port-monitor.js';
import { SPARK_CONNECT_PORT } from '../../src/model/driver.js';
import { startTethered, type TetheredProcess } from '../../src/lib/child-processes/tether.js';
import { classArchive } from './class-archives.js';
import { processEnded } from './process-ended.js';
import type { PySparkVersion } from './pyspark.js';
import { sparkHome } from './spark-home.js';

/** A Spark Connect server that is nobody's but the test's: for drivers that the gateway did not make. */
export class RealDriver {
  readonly address: string;
  readonly #folder: string;
  readonly #process: TetheredProcess;

  private constructor(address: string, folder: string, process: TetheredProcess) {
    this.address = address;
    this.#folder = folder;
    this.#process = process;
  }

  /**
   * Starts one on port 15002 of a loopback address; resolves when it listens.
   * @param token its `spark.connect.authenticate.token`
   * @param version 3.5 listens on that port of every address, whatever is asked for.
   * @param options such as its own session timeout, or to go without the fence
   */
  static async start(
    address: string,
    token: string,
    cores = 2,
    version: PySparkVersion = '4',
    options: Partial<SparkCommandOptions> = {},
  ): Promise<RealDriver> {
    const folder = mkdtempSync(join(tmpdir(), 'real-driver-'));
    const javaHome = process.env['JAVA_HOME'];
    const spark: SparkCommandOptions = {
      sparkHome: sparkHome(version),
      ...(javaHome === undefined ? {} : { javaHome }),
      master: `local[${cores}]`,
      memory: '768m',
      ...options,
    };
    const makeCommand = sparkCommand({ ...spark, classArchive: classArchive(version, spark) });
    const name = `driver-${address}`;
    const { file, args, env } = makeCommand({
      request: {
        resource: name,
        namespace: 'test',
        uid: name,
        address,
        port: SPARK_CONNECT_PORT,
        token,
        createdAtMs: 0,
      },
      workFolder: folder,
      marker: `-Dtest.driver=${name}`,
    });
    const logFile = join(folder, 'driver.log');
    const running = startTethered({ command: file, args, env, logFile });
    let ended = false;
    void running.ended.then(() => {
      ended = true;
    });
    while ((await http2Probe(address, SPARK_CONNECT_PORT, 1_000)) !== undefined) {
      if (ended) throw new Error(`Spark did not start:\n${readFileSync(logFile, 'utf8')}`);
      await pause(50);
    }
    return new RealDriver(address, folder, running);
  }

  /** Kills it without warning; resolves when it has ended. */
  async kill(): Promise<void> {
    this.#process.kill();
    await processEnded(await this.#process.pid);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
