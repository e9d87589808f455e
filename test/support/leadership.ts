import type { Leadership } from '../../src/model/ledger.js';

/** A leadership that a test gives and takes. */
export class TestLeadership implements Leadership {
  held: number | undefined = 1;

  epoch(): number | undefined {
    return this.held;
  }
}
