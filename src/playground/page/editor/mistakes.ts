/** Mistakes in the manifest, marked where they are: those seen while it is written, and those of a run. */
import { type Diagnostic, linter } from '@codemirror/lint';
import { type Extension, StateEffect, StateField, type Text } from '@codemirror/state';
import { Decoration, type DecorationSet, EditorView } from '@codemirror/view';
import type { ProblemPlaceView } from '../../../model/playground-api.js';

/** Checks a manifest; from `src/manifest`, as the server does. */
export type CheckManifest = (text: string) => readonly ProblemPlaceView[];

/** What a job or a refusal said of the manifest; it stays until the line is changed. */
export const markRun = StateEffect.define<readonly ProblemPlaceView[]>();

const CHECK_AFTER_MS = 300;

const runMistakes = StateField.define<readonly Diagnostic[]>({
  create: () => [],
  update(before, transaction) {
    let kept = before;
    if (transaction.docChanged) {
      const { changes, startState } = transaction;
      kept = kept.flatMap((mistake) => {
        const { from, to } = mistake;
        const line = startState.doc.lineAt(from);
        if (changes.touchesRange(line.from, line.to) !== false) return [];
        return [{ ...mistake, from: changes.mapPos(from), to: changes.mapPos(to) }];
      });
    }
    for (const effect of transaction.effects) {
      if (effect.is(markRun)) {
        kept = effect.value.map((problem) => diagnosticOf(transaction.state.doc, problem));
      }
    }
    return kept;
  },
  provide: (field) =>
    EditorView.decorations.compute([field], (state) => failedLines(state.doc, state.field(field))),
});

function failedLines(doc: Text, of: readonly Diagnostic[]): DecorationSet {
  const starts = new Set(of.map(({ from }) => doc.lineAt(from).from));
  const line = Decoration.line({ class: 'cm-failed-line' });
  return Decoration.set([...starts].toSorted((a, b) => a - b).map((start) => line.range(start)));
}

export function mistakes(check: CheckManifest, onCount: (count: number) => void): Extension {
  return [
    runMistakes,
    linter(
      ({ state }) => {
        const found = check(state.doc.toString()).map((problem) =>
          diagnosticOf(state.doc, problem),
        );
        onCount(found.length);
        return [...found, ...state.field(runMistakes)];
      },
      {
        delay: CHECK_AFTER_MS,
        needsRefresh: ({ transactions }) =>
          transactions.some(({ effects }) => effects.some((effect) => effect.is(markRun))),
      },
    ),
  ];
}

/** From its place to the end of the word there; to the end of the line where there is none. */
function diagnosticOf(doc: Text, { line, column, message }: ProblemPlaceView): Diagnostic {
  const at = doc.line(Math.min(Math.max(1, line), doc.lines));
  const from = Math.min(at.from + Math.max(0, column - 1), at.to);
  const rest = at.text.slice(from - at.from);
  const word = /^("[^"]*"|'[^']*'|[^\s:,()[\]{}]+)/.exec(rest)?.[0] ?? rest;
  return { from, to: Math.min(from + Math.max(1, word.length), at.to), severity: 'error', message };
}
