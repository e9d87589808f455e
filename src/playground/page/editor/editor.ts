/** CodeMirror (https://codemirror.net/docs/ref/) as the editor of manifests. */
import {
  acceptCompletion,
  autocompletion,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
} from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { yaml } from '@codemirror/lang-yaml';
import { bracketMatching, indentOnInput, indentUnit } from '@codemirror/language';
import { forceLinting, lintGutter, lintKeymap } from '@codemirror/lint';
import { highlightSelectionMatches, searchKeymap } from '@codemirror/search';
import { EditorState, Prec } from '@codemirror/state';
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  keymap,
  lineNumbers,
} from '@codemirror/view';
import type { ProblemPlaceView } from '../../../model/playground-api.js';
import { completeFrom, hoverFrom } from './completion.js';
import { look } from './look.js';
import { type CheckManifest, markRun, mistakes } from './mistakes.js';
import type { Schema } from './schema.js';

export interface EditorOptions {
  readonly parent: Element;
  readonly text: string;
  readonly schema: Schema;
  readonly check: CheckManifest;
  /** Of the page's policy; the editor's styles are let in by it. */
  readonly nonce: string;
  readonly onChange: (text: string) => void;
  readonly onMistakes: (count: number) => void;
  readonly onRun: () => void;
}

export class ManifestEditor {
  readonly #view: EditorView;

  constructor(options: EditorOptions) {
    const { parent, text, schema, check, nonce, onChange, onMistakes, onRun } = options;
    this.#view = new EditorView({
      parent,
      state: EditorState.create({
        doc: text,
        extensions: [
          EditorView.cspNonce.of(nonce),
          EditorView.contentAttributes.of({
            'aria-label': 'Manifest',
            'aria-describedby': 'editor-keys',
          }),
          Prec.highest(
            keymap.of([
              {
                key: 'Mod-Enter',
                run() {
                  onRun();
                  return true;
                },
              },
            ]),
          ),
          keymap.of([
            ...closeBracketsKeymap,
            ...completionKeymap,
            { key: 'Tab', run: acceptCompletion },
            ...lintKeymap,
            ...searchKeymap,
            ...historyKeymap,
            ...defaultKeymap,
            indentWithTab,
          ]),
          lineNumbers(),
          lintGutter(),
          highlightActiveLine(),
          highlightActiveLineGutter(),
          highlightSelectionMatches(),
          drawSelection(),
          history(),
          indentUnit.of('  '),
          indentOnInput(),
          bracketMatching(),
          closeBrackets(),
          yaml(),
          autocompletion({ override: [completeFrom(schema)], icons: false }),
          hoverFrom(schema),
          mistakes(check, onMistakes),
          look,
          EditorView.updateListener.of(({ docChanged, state }) => {
            if (docChanged) onChange(state.doc.toString());
          }),
        ],
      }),
    });
  }

  get text(): string {
    return this.#view.state.doc.toString();
  }

  /** Undo brings back what was there. */
  replace(text: string): void {
    if (text === this.text) return;
    const { length } = this.#view.state.doc;
    this.#view.dispatch({ changes: { from: 0, to: length, insert: text }, userEvent: 'input' });
  }

  change(from: number, to: number, insert: string): void {
    this.#view.dispatch({ changes: { from, to, insert }, userEvent: 'input' });
  }

  /** Marks what a run or a refusal said; with nothing, marks are taken away. */
  mark(problems: readonly ProblemPlaceView[]): void {
    this.#view.dispatch({ effects: markRun.of(problems) });
    forceLinting(this.#view);
  }

  /** Puts the cursor there. Counted from 1. */
  goTo(line: number, column: number): void {
    const { doc } = this.#view.state;
    const at = doc.line(Math.min(Math.max(1, line), doc.lines));
    const anchor = Math.min(at.from + Math.max(0, column - 1), at.to);
    this.#view.dispatch({
      selection: { anchor },
      effects: EditorView.scrollIntoView(anchor, { y: 'center' }),
    });
    this.#view.focus();
  }

  destroy(): void {
    this.#view.destroy();
  }
}
