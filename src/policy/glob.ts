/** Name patterns: `*` stands for any text, everything else for itself. */

export interface Glob {
  readonly pattern: string;
  matches(name: string): boolean;
}

/**
 * Compiles a pattern; matching is linear in the name for each `*`, never exponential.
 * With `separator`, `*` stops there: `spiffe://a/ns/*` does not match `spiffe://a/ns/b/sa/c`.
 */
export function compileGlob(pattern: string, separator?: string): Glob {
  if (!pattern.includes('*')) return { pattern, matches: (name) => name === pattern };
  if (separator !== undefined) return segmentedGlob(pattern, separator);
  const parts = pattern.split('*');
  const first = parts[0] ?? '';
  const last = parts.at(-1) ?? '';
  const middle = parts.slice(1, -1).filter((part) => part !== '');
  const least = parts.reduce((total, part) => total + part.length, 0);
  return {
    pattern,
    matches(name) {
      if (name.length < least || !name.startsWith(first) || !name.endsWith(last)) return false;
      const end = name.length - last.length;
      let at = first.length;
      for (const part of middle) {
        const found = name.indexOf(part, at);
        if (found === -1) return false;
        at = found + part.length;
      }
      return at <= end;
    },
  };
}

function segmentedGlob(pattern: string, separator: string): Glob {
  const segments = pattern.split(separator).map((segment) => compileGlob(segment));
  return {
    pattern,
    matches(name) {
      const parts = name.split(separator);
      return (
        parts.length === segments.length &&
        segments.every((segment, index) => segment.matches(parts[index] ?? ''))
      );
    },
  };
}

/** A set of names and patterns. */
export class NameSet {
  readonly exact: ReadonlySet<string>;
  readonly globs: readonly Glob[];

  constructor(patterns: readonly string[]) {
    this.exact = new Set(patterns.filter((pattern) => !pattern.includes('*')));
    this.globs = patterns.filter((pattern) => pattern.includes('*')).map((p) => compileGlob(p));
  }

  matches(name: string): boolean {
    return this.exact.has(name) || this.globs.some((glob) => glob.matches(name));
  }
}
