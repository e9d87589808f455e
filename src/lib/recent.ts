import { LRUCache } from 'lru-cache';

/**
 * Remembers what was used last, `most` entries of it. Takes room as it fills: an LRUCache with `max` takes
 * all of it at once, which costs milliseconds at the start of whatever remembers much, or little for long.
 */
export function recent<K extends {}, V extends {}>(most: number): LRUCache<K, V> {
  return new LRUCache({ maxSize: most, sizeCalculation: () => 1 });
}
