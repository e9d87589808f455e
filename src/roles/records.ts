/** Where the control plane keeps its records, and who may write them. */
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Clock } from '../model/clock.js';
import type { Leadership, Ledger } from '../model/ledger.js';
import { FileLock } from '../records/file-lock.js';
import { FileRecordStore } from '../records/file-store.js';
import { openLedger } from '../records/ledger.js';
import type { Settings } from '../settings/table.js';

export interface Records {
  readonly ledger: Ledger;
  readonly leadership: Leadership;
  /** Calls back when leadership began or ended. */
  onLeadership(listener: () => void): void;
  /** Drivers whose record cannot be read: nobody knows whose memory they hold. */
  unreadable(): Promise<ReadonlySet<string>>;
  /** What operators ask for in the records themselves; calls back now and after every change. */
  onDrains(listener: (drains: ReadonlyMap<string, number | undefined>) => void): void;
  /** Why the records may be old, for people. */
  problem(): string | undefined;
  close(): Promise<void>;
}

/** On one machine: files, and a lock that says that no other control plane runs. */
export async function openFileRecords(
  settings: Settings,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
): Promise<Records> {
  const leadership = await FileLock.acquire(join(settings.stateDir, 'leader'));
  const store = await FileRecordStore.open(join(settings.stateDir, 'records'), logger);
  const ledger = await openLedger({ store, leadership, clock, logger });
  return {
    ledger,
    leadership,
    onLeadership: () => undefined,
    async unreadable() {
      const found = await store.unreadable();
      if (found.length > 0) {
        logger.error(
          { files: found.map(({ file }) => file) },
          'driver records cannot be read, so nobody knows whose memory those drivers hold: they are not used; look at the files and remove them',
        );
      }
      return new Set(found.map(({ uid }) => uid));
    },
    onDrains: () => undefined,
    problem: () => undefined,
    async close() {
      await ledger.close();
      await leadership.release();
    },
  };
}
