/** Where and how a job is to run. */
import type { ChoicesView } from '../../model/playground-api.js';
import type { Draft } from './keeping.js';
import { sandboxOf } from './submission.js';

interface Props {
  readonly draft: Draft;
  readonly choices: ChoicesView;
  readonly onChange: (change: Partial<Draft>) => void;
}

const SAMPLING: readonly (readonly [string, string])[] = [
  ['', 'all rows'],
  ['0.1', '10 %'],
  ['0.01', '1 %'],
];

const LIMITS: readonly (readonly [string, string])[] = [
  ['', 'as usual'],
  ['600', '10 min'],
  ['3600', '1 h'],
  ['21600', '6 h'],
];

export function RunOptions({ draft, choices, onChange }: Props) {
  const { environments, sandbox_environments: sandboxed } = choices;
  return (
    <>
      <label>
        Environment{' '}
        <select
          value={draft.environment}
          onChange={({ currentTarget: { value } }) =>
            // Where the sandbox is usual, it is on again.
            onChange({ environment: value, sandbox: sandboxed.includes(value) })
          }
        >
          {environments.length === 0 ? <option value="">none is yours</option> : null}
          {environments.map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label title="SQL may not write, and sinks write into the job's own folder">
        <input
          type="checkbox"
          checked={sandboxOf(draft, choices)}
          onChange={(event) => onChange({ sandbox: event.currentTarget.checked })}
        />{' '}
        Sandbox
      </label>
      <Choice
        name="Sample of sources"
        values={SAMPLING}
        chosen={draft.sampling ?? ''}
        onChoose={(sampling) => onChange({ sampling })}
      />
      <Choice
        name="Time limit"
        values={LIMITS}
        chosen={draft.ttlSeconds ?? ''}
        onChoose={(ttlSeconds) => onChange({ ttlSeconds })}
      />
    </>
  );
}

function Choice({
  name,
  values,
  chosen,
  onChoose,
}: {
  readonly name: string;
  readonly values: readonly (readonly [string, string])[];
  readonly chosen: string;
  readonly onChoose: (value: string) => void;
}) {
  return (
    <label>
      {name}{' '}
      <select value={chosen} onChange={(event) => onChoose(event.currentTarget.value)}>
        {values.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}
