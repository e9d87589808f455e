// The driver fence: compiled by the Scala compiler that Spark ships, so that a Java runtime will do.
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { inRoot } from './paths.js';
import { runLogged } from './run-logged.js';
import { contentHash, stampFits, writeStamp } from './stamp.js';
import { sparkHome } from './tools.js';

const source = inRoot('fence/DriverFence.scala');
const folder = inRoot('build/fence');
const jar = join(folder, 'driver-fence.jar');
const stamp = join(folder, '.setup-stamp');
const hash = () => contentHash({ files: [source] });

/** One jar is for every Spark from 3.5 on, whichever it was compiled with. */
export function driverFence(javaHome) {
  return {
    label: 'driver fence',
    bytes: 0,
    needed: () => !stampFits(stamp, hash()) || !existsSync(jar),
    async run() {
      mkdirSync(folder, { recursive: true });
      await runLogged('driver-fence', join(javaHome(), 'bin/java'), [
        '-cp',
        join(sparkHome(), 'jars/*'),
        'scala.tools.nsc.Main',
        '-usejavacp',
        '-deprecation',
        '-Xfatal-warnings',
        '-d',
        jar,
        source,
      ]);
      writeStamp(stamp, hash());
    },
  };
}
