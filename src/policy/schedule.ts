/** Sizes of a pool by the time of the week. */
import {
  about,
  list,
  object,
  optional,
  type Reader,
  text,
  type TypeOf,
  withDefault,
} from '../lib/yaml/schema.js';
import { integer, textType } from '../lib/yaml/text-types.js';
import type { PoolSchedule, PoolSize, ScheduledSize } from '../model/policy.js';
import { sizeWithinMaximum } from './texts.js';

// Wall clocks of time zones, with their changes to and from daylight saving time.

const DAY_MS = 86_400_000;

export class ZonedTime {
  readonly name: string;
  readonly #format: Intl.DateTimeFormat;

  /** `timeZone`: an IANA name. Throws a RangeError for any other. */
  constructor(timeZone: string) {
    this.name = timeZone;
    this.#format = new Intl.DateTimeFormat('en-US', {
      timeZone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  }

  /** What the wall clock shows at a moment, written as milliseconds since 1970-01-01 00:00 on that clock. */
  wallMs(atMs: number): number {
    const parts = new Map(
      this.#format.formatToParts(atMs).map(({ type, value }) => [type, Number(value)]),
    );
    const of = (type: Intl.DateTimeFormatPartTypes) => parts.get(type) ?? 0;
    const [year, month, day] = [of('year'), of('month') - 1, of('day')];
    return Date.UTC(year, month, day, of('hour'), of('minute'), of('second'));
  }

  /**
   * The first moment at which the wall clock shows `wallMs` or, where the clock skips that time,
   * later. A time that comes twice is its first.
   */
  momentOf(wallMs: number): number {
    // No zone is a day or more away from UTC, and none changes its offset twice in two days.
    const offsets = [wallMs - DAY_MS, wallMs + DAY_MS].map((atMs) => this.wallMs(atMs) - atMs);
    let early = wallMs - Math.max(...offsets);
    let late = wallMs - Math.min(...offsets);
    if (this.wallMs(early) >= wallMs) return early;
    while (late - early > 1) {
      const middle = Math.floor((early + late) / 2);
      if (this.wallMs(middle) >= wallMs) late = middle;
      else early = middle;
    }
    return late;
  }
}

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
