/** Wall clocks of time zones, with their changes to and from daylight saving time. */

export const DAY_MS = 86_400_000;

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
