/** Sizes of a pool by the time of the week. */
import type { PoolSchedule, PoolSize, ScheduledSize } from '../model/policy.js';
import {
  about,
  list,
  object,
  optional,
  type Reader,
  text,
  type TypeOf,
  withDefault,
} from '../yaml/schema.js';
import { integer, textType } from '../yaml/text-type.js';
import { sizeWithinMaximum } from './admission.js';
import { DAY_MS, ZonedTime } from './zoned-time.js';

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const MINUTE_MS = 60_000;

/** Numbers of days of the week, Sunday 0. */
const days = textType('a day such as mon, or days such as mon-fri', (written) => {
  const [first = '', last = first, ...more] = written.split('-');
  const [from, to] = [DAYS.indexOf(first), DAYS.indexOf(last)];
  if (from < 0 || to < 0 || more.length > 0) return undefined;
  return Array.from({ length: ((to - from + 7) % 7) + 1 }, (_, i) => (from + i) % 7);
});

/** Milliseconds since midnight on the wall clock. */
const timeOfDay = textType('a time of the day such as 07:00, up to 24:00', (written) => {
  const [, hours, minutes] = /^(\d\d):(\d\d)$/.exec(written) ?? [];
  const total = Number(hours) * 60 + Number(minutes);
  return Number(minutes) < 60 && total <= 24 * 60 ? total * MINUTE_MS : undefined;
});

const timeZone = textType('a time zone such as America/Los_Angeles or UTC', (written) => {
  try {
    return new ZonedTime(written);
  } catch {
    return undefined;
  }
});

export const scheduleEntry = object(
  'a scheduled time',
  {
    days: about(
      'The days on which it begins; default: every day.',
      withDefault(list(text(days), { least: 1 }), [DAYS.map((_, day) => day)]),
    ),
    from: about('Default: 00:00.', withDefault(text(timeOfDay), 0)),
    to: about(
      'Default: 24:00. One that is not after from is on the day after.',
      withDefault(text(timeOfDay), DAY_MS),
    ),
    time_zone: about(
      'Whose clock; default: UTC.',
      withDefault(text(timeZone), new ZonedTime('UTC')),
    ),
    size: about("Instead of the pool's.", optional(text(integer(0, 1000)))),
    maximum: about("Instead of the pool's.", optional(text(integer(1, 10_000)))),
  },
  {
    admission: [
      {
        rule: 'has(self.size) || has(self.maximum)',
        message: 'a scheduled time needs size or maximum',
      },
      sizeWithinMaximum,
    ],
  },
);

export type ScheduleEntry = TypeOf<typeof scheduleEntry>;

interface Span {
  readonly days: ReadonlySet<number>;
  readonly fromMs: number;
  /** More than a day for a time that ends on the day after. */
  readonly toMs: number;
  readonly zone: ZonedTime;
  readonly size: PoolSize;
}

/** `usual`: what is in force at any other time. The first entry that is for a moment counts. */
export function compileSchedule(
  entries: readonly ScheduleEntry[],
  usual: PoolSize,
  reader: Reader,
): PoolSchedule {
  const spans = entries.map((entry): Span => {
    const { size = usual.size, maximum = usual.maximum } = entry;
    if (entry.size === undefined && entry.maximum === undefined) {
      reader.refuseAt(entry, undefined, 'a scheduled time needs size or maximum');
    }
    if (size > maximum) {
      reader.refuseAt(
        entry,
        entry.size === undefined ? 'maximum' : 'size',
        `size (${size}) must not exceed maximum (${maximum})`,
      );
    }
    return {
      days: new Set(entry.days.flat()),
      fromMs: entry.from,
      toMs: entry.to > entry.from ? entry.to : entry.to + DAY_MS,
      zone: entry.time_zone,
      size: { size, maximum },
    };
  });
  let last: (ScheduledSize & { readonly fromMs: number }) | undefined;
  return {
    times: spans.map(describe),
    at(nowMs) {
      if (last && nowMs >= last.fromMs && nowMs < last.untilMs) return last;
      last = { ...sizeAt(spans, usual, nowMs), fromMs: nowMs };
      return last;
    },
  };
}

function describe({ days: weekdays, fromMs, toMs, zone, size }: Span): string {
  const names = DAYS.filter((_, day) => weekdays.has(day)).join(', ');
  const hours = [fromMs, toMs % DAY_MS || DAY_MS].map((ms) =>
    [ms / (60 * MINUTE_MS), (ms / MINUTE_MS) % 60]
      .map((part) => String(Math.floor(part)).padStart(2, '0'))
      .join(':'),
  );
  return `${names} ${hours.join('–')} ${zone.name}: size ${size.size}, maximum ${size.maximum}`;
}

function sizeAt(spans: readonly Span[], usual: PoolSize, nowMs: number): ScheduledSize {
  let untilMs = nowMs + 7 * DAY_MS;
  let size: PoolSize | undefined;
  for (const span of spans) {
    for (const [startMs, endMs] of times(span, nowMs)) {
      for (const atMs of [startMs, endMs]) if (atMs > nowMs) untilMs = Math.min(untilMs, atMs);
      if (startMs <= nowMs && nowMs < endMs) size ??= span.size;
    }
  }
  return { ...(size ?? usual), untilMs };
}

/** The times of the span around `nowMs`: at least the one that it is in, and the next. */
function* times({ days: weekdays, fromMs, toMs, zone }: Span, nowMs: number) {
  const today = Math.floor(zone.wallMs(nowMs) / DAY_MS);
  for (let day = today - 2; day <= today + 8; day += 1) {
    // The first of January 1970 was a Thursday.
    if (!weekdays.has((((day + 4) % 7) + 7) % 7)) continue;
    yield [zone.momentOf(day * DAY_MS + fromMs), zone.momentOf(day * DAY_MS + toMs)] as const;
  }
}
