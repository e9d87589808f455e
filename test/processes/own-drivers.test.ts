import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { mostSessionsByVariant } from '../../src/processes/drivers.js';
import { compileSettings } from '../../src/settings/compile-settings.js';
import { temporaryFolder } from '../support/local-world.js';

/** A folder with the jars of a Spark, as far as they are looked at. */
function sparkHome(folder: string, version: string): string {
  const home = join(folder, `spark-${version}`);
  mkdirSync(join(home, 'jars'), { recursive: true });
  writeFileSync(join(home, 'jars', `spark-connect_2.13-${version}.jar`), '');
  return home;
}

function settings(sessionTtl: string, variants = '{}') {
  const overrides = Object.entries({
    session_ttl: sessionTtl,
    'sessions.tombstone_ttl': '1d',
    'drivers.local.variants': variants,
  });
  return compileSettings({ env: {}, overrides, cwd: '/' });
}

test('a local Spark that forgets sessions before the gateway does is refused, a variant too', async (t) => {
  const folder = await temporaryFolder(t);
  const [old, current] = [sparkHome(folder, '3.5.7'), sparkHome(folder, '4.1.0')];
  t.throws(() => mostSessionsByVariant(old, settings('1h')), {
    code: 'SETTINGS_INVALID',
    message: /^drivers\.local\.spark_home: Spark 3\.5 forgets a session .* session_ttl/,
  });
  const variants = `{old: "spark_home=${old}"}`;
  t.throws(() => mostSessionsByVariant(current, settings('8h', variants)), {
    code: 'SETTINGS_INVALID',
    message: /^drivers\.local\.variants old: Spark 3\.5 forgets/,
  });
  t.notThrows(() => mostSessionsByVariant(current, settings('8h')));
  const most = mostSessionsByVariant(current, settings('59m', variants));
  t.deepEqual([most(undefined), most('old'), most('unknown')], [undefined, 100, undefined]);
});
