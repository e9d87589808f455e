import { pino } from 'pino';
import {
  type AuditLine,
  auditLine,
  type DestinationOptions,
} from '../../src/telemetry/audit/destination.js';
import type { AuditMetrics } from '../../src/telemetry/audit/destination.js';
import type { DropReason } from '../../src/telemetry/audit/destination.js';
import { adminRecord } from '../../src/telemetry/audit/audit-record.js';

export const silent = pino({ level: 'silent' });

/** A record that tells of number `n`. `by`: of somebody who is known. */
export function numbered(n: number, padding = 0, by: 'known' | 'unverified' = 'known'): AuditLine {
  return auditLine(
    adminRecord(
      {
        principal:
          by === 'known'
            ? { issuer: 'https://issuer.example.com', subject: 'ada@example.com' }
            : undefined,
        action: 'driver.drain',
        object: String(n),
        outcome: 'done',
        ...(padding === 0 ? {} : { detail: { padding: 'x'.repeat(padding) } }),
      },
      1_700_000_000_000,
    ),
  );
}

/** The numbers of the records in a text; a record of lost ones as `lost <count>`. Throws for a line that is none. */
export function numbersIn(text: string): (number | string)[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const { object, event, count } = JSON.parse(line) as Record<string, string>;
      return event === 'lost' ? `lost ${count}` : Number(object);
    });
}

/** What was counted. */
export class CountedAudit implements AuditMetrics {
  writtenCount = 0;
  readonly drops: Record<DropReason, number> = {
    queue_full: 0,
    rejected: 0,
    shutdown: 0,
    unverified: 0,
  };
  readonly unverifiedCount = { rpc: 0, admin: 0 };
  state: Parameters<AuditMetrics['destination']>[1] | undefined;

  destination(_name: string, state: Parameters<AuditMetrics['destination']>[1]): void {
    this.state = state;
  }
  written(_destination: string, count: number): void {
    this.writtenCount += count;
  }
  dropped(_destination: string, reason: DropReason, count: number): void {
    this.drops[reason] += count;
  }
  unverified(event: 'rpc' | 'admin'): void {
    this.unverifiedCount[event] += 1;
  }
}

export function destinationOptions(
  options: Pick<DestinationOptions, 'writer' | 'clock' | 'metrics'> & Partial<DestinationOptions>,
): DestinationOptions {
  return { name: 'test', queueBytes: 1 << 20, lingerMs: 0, logger: silent, ...options };
}
