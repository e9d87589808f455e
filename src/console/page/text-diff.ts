/** Differences of two texts, line by line. */

export interface DiffLine {
  readonly kind: 'same' | 'removed' | 'added';
  readonly text: string;
  /** From 1; undefined on the side that has no such line. */
  readonly before: number | undefined;
  readonly after: number | undefined;
}

/** Time and memory grow with the square: more changed lines are shown as all removed and all added. */
const MAX_CHANGES = 800;

/** Myers, "An O(ND) Difference Algorithm and Its Variations" (1986). */
export function diffLines(before: string, after: string): readonly DiffLine[] {
  const a = before.split('\n');
  const b = after.split('\n');
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (
    end < a.length - start &&
    end < b.length - start &&
    a[a.length - 1 - end] === b[b.length - 1 - end]
  ) {
    end += 1;
  }
  const changed = kinds(a.slice(start, a.length - end), b.slice(start, b.length - end));
  const all = [
    ...Array.from({ length: start }, () => 'same' as const),
    ...changed,
    ...Array.from({ length: end }, () => 'same' as const),
  ];
  let left = 0;
  let right = 0;
  return all.map((kind) => {
    const text = (kind === 'added' ? b[right] : a[left]) ?? '';
    if (kind !== 'added') left += 1;
    if (kind !== 'removed') right += 1;
    return {
      kind,
      text,
      before: kind === 'added' ? undefined : left,
      after: kind === 'removed' ? undefined : right,
    };
  });
}

function kinds(a: readonly string[], b: readonly string[]): DiffLine['kind'][] {
  const reached: Map<number, number>[] = [];
  const furthest = new Map([[1, 0]]);
  for (let edits = 0; edits <= Math.min(a.length + b.length, MAX_CHANGES); edits += 1) {
    reached.push(new Map(furthest));
    for (let diagonal = -edits; diagonal <= edits; diagonal += 2) {
      let x = isDown(furthest, diagonal, edits)
        ? (furthest.get(diagonal + 1) ?? 0)
        : (furthest.get(diagonal - 1) ?? 0) + 1;
      while (x < a.length && x - diagonal < b.length && a[x] === b[x - diagonal]) x += 1;
      furthest.set(diagonal, x);
      if (x >= a.length && x - diagonal >= b.length) return backtrack(reached, a.length, b.length);
    }
  }
  return [...a.map(() => 'removed' as const), ...b.map(() => 'added' as const)];
}

/** Whether the way to this diagonal comes by adding a line of `b`. */
function isDown(furthest: ReadonlyMap<number, number>, diagonal: number, edits: number): boolean {
  if (diagonal === -edits) return true;
  if (diagonal === edits) return false;
  return (furthest.get(diagonal - 1) ?? -1) < (furthest.get(diagonal + 1) ?? -1);
}

function backtrack(
  reached: readonly ReadonlyMap<number, number>[],
  endX: number,
  endY: number,
): DiffLine['kind'][] {
  const path: DiffLine['kind'][] = [];
  let x = endX;
  let y = endY;
  for (let edits = reached.length - 1; edits > 0; edits -= 1) {
    const furthest = reached[edits] ?? new Map<number, number>();
    const diagonal = x - y;
    const down = isDown(furthest, diagonal, edits);
    const fromDiagonal = down ? diagonal + 1 : diagonal - 1;
    const fromX = furthest.get(fromDiagonal) ?? 0;
    const editX = down ? fromX : fromX + 1;
    for (; x > editX; x -= 1) path.push('same');
    path.push(down ? 'added' : 'removed');
    x = fromX;
    y = fromX - fromDiagonal;
  }
  for (; x > 0; x -= 1) path.push('same');
  return path.toReversed();
}
