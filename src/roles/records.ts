/** Who keeps the driver records, and who may write them: one process with its files, or the leader of several replicas. */
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Clock } from '../model/clock.js';
import type { Leadership, Ledger } from '../model/ledger.js';
import type { Term } from '../records/elected-ledger.js';
import { FileLock } from '../records/file-lock.js';
import { FileRecordStore } from '../records/file-store.js';
import { openLedger } from '../records/ledger.js';
import type { Settings } from '../settings/table.js';

export interface Records {
  /** As this process knows them, whether or not it leads. */
  readonly ledger: Ledger;
  readonly leadership: Leadership;
  /** Calls back when this process begins to lead (also if it does so already), and with undefined when that ends. */
  onTerm(listener: (term: Term | undefined) => void): void;
  /**
   * Puts down in the store that operators want this driver drained, where they may also say so there:
   * the store and the admin API must not say different things.
   */
  askDrain?(driverUid: string, deadlineMs: number | undefined): Promise<void>;
  /** Writes what was put off and gives leadership up. */
  close(): Promise<void>;
}

export interface OwnRecords extends Records {
  /** Drivers whose record cannot be read. */
  readonly unreadable: ReadonlySet<string>;
}

/** Files in `state_dir`, with a lock: whoever has it leads for as long as it runs. */
export async function openOwnRecords(
  settings: Settings,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
): Promise<OwnRecords> {
  const leadership = await FileLock.acquire(join(settings.stateDir, 'leader'));
  const store = await FileRecordStore.open(join(settings.stateDir, 'records'), logger);
  const ledger = await openLedger({ store, leadership, clock, logger });
  const unreadable = await store.unreadable();
  if (unreadable.length > 0) {
    logger.error(
      { files: unreadable.map(({ file }) => file) },
      'driver records cannot be read, so nobody knows whose memory those drivers hold: they are not used; look at the files and remove them',
    );
  }
  return {
    ledger,
    leadership,
    unreadable: new Set(unreadable.map(({ uid }) => uid)),
    onTerm(listener) {
      const epoch = leadership.epoch();
      if (epoch !== undefined) listener({ epoch, ledger, leadership });
    },
    async close() {
      await ledger.close();
      await leadership.release();
    },
  };
}
