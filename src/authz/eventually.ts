/**
 * Values that are there at once, or come later. Nearly every check needs only what is remembered, and
 * is answered without a turn of the microtask queue, a timer or a signal.
 */
export type Eventually<T> = T | Promise<T>;

/** What `next` makes of the value, as soon as that is there. */
export function andThen<T, U>(
  value: Eventually<T>,
  next: (value: T) => Eventually<U>,
): Eventually<U> {
  return value instanceof Promise ? value.then(next) : next(value);
}
