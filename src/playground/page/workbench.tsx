/** The manifest in its editor, how it is to be run, and the job that it became. */
import { Component, type ComponentChildren, createRef } from 'preact';
import { count } from '../../lib/page/format.js';
import { hasEnded } from '../../model/job.js';
import type { ProblemPlaceView, SampleView } from '../../model/playground-api.js';
import { parseManifest } from '../../manifest/parse.js';
import { manifestSchema } from '../../manifest/json-schema.js';
import { ManifestEditor } from './editor/editor.js';
import { type JobActions, JobView } from './job-view.js';
import type { Draft } from './keeping.js';
import { teamAsYaml, teamIn, withTeam } from './manifest-team.js';
import type { PageState, Refusal, Start } from './page-state.js';
import { RunOptions } from './run-options.js';

export interface WorkbenchActions {
  run(draft: Draft): void;
  /** undefined: what was refused is good now. */
  refuse(refusal: Refusal | undefined): void;
  stop(job: string): void;
  check(): void;
  say(outcome: string): void;
}

interface Props {
  readonly start: Start;
  readonly state: PageState;
  readonly actions: WorkbenchActions;
  /** Of the page's policy. */
  readonly nonce: string;
}

interface State {
  readonly draft: Draft;
  readonly mistakes: number;
}

const KEEP_AFTER_MS = 300;

export class Workbench extends Component<Props, State> {
  readonly #place = createRef<HTMLDivElement>();
  #editor: ManifestEditor | undefined;
  #marked = '';
  #timer = 0;

  constructor(props: Props) {
    super(props);
    this.state = { draft: firstDraft(props.start), mistakes: 0 };
  }

  override componentDidMount(): void {
    const parent = this.#place.current;
    if (!parent) return;
    this.#editor = new ManifestEditor({
      parent,
      text: this.state.draft.manifest,
      schema: manifestSchema(),
      check: (text) => this.#problemsOf(text),
      nonce: this.props.nonce,
      onChange: (manifest) => this.#change({ manifest }),
      onMistakes: (mistakes) => this.#found(mistakes),
      onRun: () => this.#run(),
    });
    this.#mark();
    addEventListener('pagehide', this.#keep);
    document.addEventListener('keydown', this.#runByKeys);
  }

  override componentDidUpdate(): void {
    this.#mark();
  }

  override componentWillUnmount(): void {
    removeEventListener('pagehide', this.#keep);
    document.removeEventListener('keydown', this.#runByKeys);
    this.#keep();
    this.#editor?.destroy();
  }

  override render({ start, state, actions }: Props, { draft, mistakes }: State): ComponentChildren {
    const { choices, samples } = start;
    const { job, nowMs, refusal, submitting } = state;
    const isRunning = job?.status !== undefined && !hasEnded(job.status.state);
    return (
      <div class={job ? 'workbench with-job' : 'workbench'}>
        <section class="writing" aria-label="Manifest and how it is run">
          <div class="choices">
            <SamplePicker samples={samples} onChoose={(sample) => this.#open(sample)} />
            <TeamPicker
              teams={choices.teams}
              text={draft.manifest}
              onChoose={(team) => this.#setTeam(team)}
            />
            <RunOptions
              draft={draft}
              choices={choices}
              onChange={(change) => this.#change(change)}
            />
            <button
              type="button"
              class="primary"
              disabled={submitting}
              title="Ctrl+Enter or ⌘+Enter"
              onClick={() => this.#run()}
            >
              {submitting ? 'Submitting …' : 'Run'}
            </button>
            {job && isRunning ? (
              <button
                type="button"
                class="danger"
                disabled={job.status?.cancelling}
                onClick={() => actions.stop(job.id)}
              >
                Stop
              </button>
            ) : null}
          </div>
          <div class="editor" ref={this.#place} />
          <p class="fine" id="editor-keys">
            <span role="status">
              {mistakes === 0 ? 'No mistakes.' : `${count(mistakes, 'mistake')}.`}
            </span>{' '}
            Ctrl+Space completes, Ctrl+Enter runs; Escape, then Tab leaves the editor.
          </p>
          <Refused refusal={refusal} goTo={(line, column) => this.#editor?.goTo(line, column)} />
        </section>
        {job ? (
          <JobView
            job={job}
            nowMs={nowMs}
            actions={{
              stop: () => actions.stop(job.id),
              check: () => actions.check(),
              ...this.#actionsOnManifest(job.id),
            }}
          />
        ) : null}
      </div>
    );
  }

  #problemsOf(text: string): readonly ProblemPlaceView[] {
    const { problems } = parseManifest(text, {
      localPaths: this.props.start.choices.local_paths,
    });
    return problems;
  }

  #found(mistakes: number): void {
    this.setState({ mistakes });
    const { actions, state } = this.props;
    if (mistakes === 0 && state.refusal?.by === 'page') actions.refuse(undefined);
  }

  #change(change: Partial<Draft>): void {
    this.setState(({ draft }) => ({ draft: { ...draft, ...change } }));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#keep, KEEP_AFTER_MS);
  }

  readonly #keep = (): void => {
    clearTimeout(this.#timer);
    this.props.start.keeping.keepDraft(this.state.draft);
  };

  /** From anywhere in the view; within the editor it is the editor's own. */
  readonly #runByKeys = (event: KeyboardEvent): void => {
    const isRun = event.key === 'Enter' && (event.ctrlKey || event.metaKey);
    const isShown = this.props.state.route.view === 'workbench';
    if (!isRun || !isShown || event.defaultPrevented) return;
    event.preventDefault();
    this.#run();
  };

  #run(): void {
    const { actions, state } = this.props;
    if (state.submitting) return;
    const manifest = this.#editor?.text ?? '';
    const [first, ...others] = this.#problemsOf(manifest);
    if (first) {
      actions.refuse({
        message: `It is not submitted: the manifest has ${count(others.length + 1, 'mistake')}.`,
        places: [first, ...others],
        by: 'page',
      });
      return;
    }
    this.#keep();
    actions.run({ ...this.state.draft, manifest });
  }

  #open({ manifest, title }: SampleView): void {
    const team = teamIn(this.#editor?.text ?? '')?.team || defaultTeam(this.props.start);
    this.#editor?.replace(withTeam(manifest, team));
    this.props.actions.say(`“${title}” is in the editor. Undo brings back what was there.`);
  }

  #setTeam(team: string): void {
    const text = this.#editor?.text ?? '';
    const found = teamIn(text);
    if (found) this.#editor?.change(found.from, found.to, teamAsYaml(text, found, team));
    else this.props.actions.say('The manifest has no team: write one below metadata.');
  }

  /** Lines of a job are those of the editor only if this is the manifest that it was started with. */
  #actionsOnManifest(job: string): Pick<JobActions, 'goTo' | 'openManifest'> {
    const ran = this.props.start.keeping.manifestOf(job);
    if (ran === undefined) return {};
    if (ran === this.state.draft.manifest) {
      return { goTo: (line, column) => this.#editor?.goTo(line, column) };
    }
    return {
      openManifest: () => {
        this.#editor?.replace(ran);
        this.#marked = '';
        this.#mark();
      },
    };
  }

  /** Marks what the last refusal or the job says of the manifest, once, if it is the one that is edited. */
  #mark(): void {
    const { start, state } = this.props;
    const { job, refusal } = state;
    const { line, column = 1, message = '' } = job?.status?.reason ?? {};
    const ofJob = line === undefined ? [] : [{ line, column, path: '', message }];
    const ofServer = refusal?.by === 'server' ? refusal.places : [];
    const places = refusal ? ofServer : ofJob;
    const key = JSON.stringify([refusal ? 'refusal' : job?.id, places]);
    if (key === this.#marked || !this.#editor) return;
    const isThis = refusal || start.keeping.manifestOf(job?.id ?? '') === this.#editor.text;
    this.#marked = key;
    this.#editor.mark(isThis ? places : []);
  }
}

function firstDraft(start: Start): Draft {
  const { choices, keeping, samples } = start;
  const { defaults, environments } = choices;
  const kept = keeping.draft();
  const environment = [kept?.environment, defaults.environment].find(
    (name) => name != null && environments.includes(name),
  );
  const sample = samples[0]?.manifest ?? '';
  return {
    ...(kept ?? { manifest: withTeam(sample, defaultTeam(start)) }),
    environment: environment ?? environments[0] ?? '',
  };
}

/** Empty: none is known. */
function defaultTeam({ choices: { defaults, teams } }: Start): string {
  return defaults.team ?? teams[0] ?? '';
}

function SamplePicker({
  samples,
  onChoose,
}: {
  readonly samples: readonly SampleView[];
  readonly onChoose: (sample: SampleView) => void;
}) {
  if (samples.length === 0) return null;
  return (
    <label>
      Sample{' '}
      <select
        value=""
        onChange={(event) => {
          const sample = samples.find(({ name }) => name === event.currentTarget.value);
          event.currentTarget.value = '';
          if (sample) onChoose(sample);
        }}
      >
        <option value="">Open …</option>
        {samples.map(({ name, title }) => (
          <option key={name} value={name}>
            {title}
          </option>
        ))}
      </select>
    </label>
  );
}

/** A policy may let somebody act for any team, so another than those that are named can be written. */
function TeamPicker({
  teams,
  text,
  onChoose,
}: {
  readonly teams: readonly string[];
  readonly text: string;
  readonly onChoose: (team: string) => void;
}) {
  return (
    <label title="It stands in the manifest, below metadata">
      Team{' '}
      <input
        class="team"
        list="teams"
        autocomplete="off"
        spellcheck={false}
        value={teamIn(text)?.team ?? ''}
        onChange={(event) => onChoose(event.currentTarget.value.trim())}
      />
      <datalist id="teams">
        {teams.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
    </label>
  );
}

function Refused({
  refusal,
  goTo,
}: {
  readonly refusal: Refusal | undefined;
  readonly goTo: (line: number, column: number) => void;
}) {
  if (!refusal) return null;
  return (
    <div class="problems" role="alert">
      <p class="what">{refusal.message}</p>
      {refusal.places.length === 0 ? null : (
        <ul>
          {refusal.places.slice(0, 20).map(({ line, column, message }) => (
            <li key={`${line}:${column} ${message}`}>
              <button type="button" class="link" onClick={() => goTo(line, column)}>
                Line {line}
              </button>
              : {message}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
