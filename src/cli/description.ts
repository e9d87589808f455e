/** What a command and its options are, for the parser, help and completion. */
import type { GatewayRole } from '../model/setting-description.js';

export interface CommandDescription {
  /** As typed: `authz`, `policy validate`. */
  readonly name: string;
  readonly about: string;
  /** What follows the name, beside the options: `<file>...`, `<driver>`. */
  readonly operands?: string;
  /** All that may be written as operand, where that is little. */
  readonly operandChoices?: readonly string[];
  readonly options?: readonly OptionDescription[];
  /** Whose settings it reads; undefined: none. */
  readonly settingsOf?: GatewayRole;
  /** Asks a gateway that runs, and takes the options that say which, as whom, and how to show the answer. */
  readonly online?: boolean;
}

export interface OptionDescription {
  /** Without dashes. */
  readonly name: string;
  readonly short?: string;
  /** What stands behind it; undefined: nothing, it is there or not. */
  readonly value?: string;
  readonly about: string;
  readonly required?: boolean;
  /** All that may be written, where that is little. */
  readonly choices?: readonly string[];
}
