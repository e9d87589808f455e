/** Who may see the gateway's state, and who may operate it. */
import type { AdministrationRole } from '../model/policy.js';
import type { Caller } from '../model/principal.js';
import type { Reader } from '../yaml/schema.js';
import type { AdministrationEntry } from './document.js';
import { checkWho, compileWho, type KnownNames, matchesWho } from './who.js';

export function compileAdministration(
  entry: AdministrationEntry | undefined,
  known: KnownNames,
  reader: Reader,
): (caller: Caller) => AdministrationRole {
  if (!entry) return () => 'none';
  for (const who of [...entry.read, ...entry.admin]) checkWho(who, known, reader);
  const admins = entry.admin.map(compileWho);
  const readers = entry.read.map(compileWho);
  return (caller) => {
    if (admins.some((who) => matchesWho(who, caller))) return 'admin';
    return readers.some((who) => matchesWho(who, caller)) ? 'read' : 'none';
  };
}
