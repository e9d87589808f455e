/** Real Spark Connect servers in the place of pods' containers. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import {
  sparkCommand,
  type SparkCommandOptions,
} from '../../../src/discovery/local/spark-command.js';
import { startTethered } from '../../../src/lib/child-processes/tether.js';
import { classArchive } from '../../support/class-archives.js';
import { sparkHome } from '../../support/spark-home.js';
import type { LoopbackAddresses, Runtime } from './runtime.js';

const PORT = 15002;

export function sparkServers(addresses: LoopbackAddresses): Runtime {
  const javaHome = process.env['JAVA_HOME'];
  const spark: SparkCommandOptions = {
    sparkHome: sparkHome(),
    ...(javaHome === undefined ? {} : { javaHome }),
    master: 'local[1]',
    memory: '768m',
  };
  const makeCommand = sparkCommand({ ...spark, classArchive: classArchive('4', spark) });
  return (pod, env) => {
    const address = addresses.take();
    const workFolder = mkdtempSync(join(tmpdir(), 'pod-'));
    mkdirSync(join(workFolder, 'scratch'));
    const command = makeCommand({
      request: {
        resource: pod.metadata.name,
        uid: pod.metadata.uid ?? '',
        namespace: pod.metadata.namespace ?? '',
        address,
        port: PORT,
        token: env['SPARK_CONNECT_AUTHENTICATE_TOKEN'] ?? '',
        createdAtMs: 0,
      },
      workFolder,
      marker: '-Dstand.in=true',
    });
    const child = startTethered({
      command: command.file,
      args: command.args,
      env: { ...command.env, ...env },
      logFile: join(workFolder, 'log'),
    });
    let isOver = false;
    const ended = child.ended.then((status) => {
      isOver = true;
      addresses.giveBack(address);
      rmSync(workFolder, { recursive: true, force: true });
      return status;
    });
    return {
      address,
      ready: untilAnswers(address, () => isOver),
      ended,
      stop: () => child.kill(),
    };
  };
}

/** A probe of a kubelet: asked again and again. Never resolves for a server that has ended. */
async function untilAnswers(address: string, isOver: () => boolean): Promise<void> {
  while (!(await answers(address))) {
    if (isOver()) return new Promise(() => {});
    await pause(100);
  }
}

function answers(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(PORT, address);
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
