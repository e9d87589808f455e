/** The answer to a command, in the form that was asked for. */
import { stringify } from 'yaml';
import type { TableStyle } from './table.js';

const outputForms = ['table', 'wide', 'json', 'yaml'] as const;
export type OutputForm = (typeof outputForms)[number];

export interface Shown {
  /** Everything, for programs. */
  readonly value: unknown;
  /** Something is otherwise than it is to be: the command ends with exit code 1. */
  readonly differs?: boolean;
  /** For people; ends with a line break. */
  people(style: TableStyle): string;
}

export function isOutputForm(text: string): text is OutputForm {
  return outputForms.some((form) => form === text);
}

/** `width`: of the terminal; undefined when it is written to none. */
export function renderShown(shown: Shown, form: OutputForm, width: number | undefined): string {
  switch (form) {
    case 'json':
      return `${JSON.stringify(shown.value, undefined, 2)}\n`;
    case 'yaml':
      return stringify(shown.value, { lineWidth: 0 });
    case 'table':
    case 'wide':
      return shown.people({ wide: form === 'wide', width });
  }
}
