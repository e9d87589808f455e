import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';

export interface StaticDriver {
  readonly name: string;
  readonly address: string;
  readonly token: string;
  /** Whether it has the driver fence. Default true. */
  readonly fence?: boolean;
}

/** The file of drivers that someone else runs, as `drivers.static_file` names it. */
export class StaticDrivers {
  readonly #folder = mkdtempSync(join(tmpdir(), 'static-drivers-'));
  readonly file = join(this.#folder, 'drivers.yaml');

  constructor() {
    this.set();
  }

  /** Names these drivers, all of the pool of `teamPolicy`, and no other. */
  set(...drivers: readonly StaticDriver[]): void {
    const entries = drivers.map(({ name, address, token, fence = true }) => {
      writeFileSync(join(this.#folder, `${name}.token`), token, { mode: 0o600 });
      return {
        name,
        namespace: 'sjns-data-dev',
        address,
        token_file: `${name}.token`,
        fence: String(fence),
      };
    });
    this.write(stringify({ drivers: entries }));
  }

  /** Puts a file with this text in the place of the one before. */
  write(text: string): void {
    const next = join(this.#folder, 'next.yaml');
    writeFileSync(next, text);
    renameSync(next, this.file);
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
