import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Lets the rows of a query through one by one: `PySpark.gated` runs it. Its driver is on this machine. */
export class RowGate {
  readonly folder = mkdtempSync(join(tmpdir(), 'row-gate-'));

  /** Lets the rows up to this number through. */
  open(...rows: readonly number[]): void {
    for (const row of rows) writeFileSync(join(this.folder, String(row)), '');
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
