/** What the page is drawn from. */
import type { Theme } from '../../lib/page/theme-choice.js';
import type {
  ChoicesView,
  PlaygroundMeView,
  ProblemPlaceView,
  SampleView,
} from '../../model/playground-api.js';
import type { JobInView } from './job-follower.js';
import type { Keeping } from './keeping.js';
import type { Route } from './route.js';

/** What is known when the page begins, and does not change. */
export interface Start {
  readonly me: PlaygroundMeView;
  readonly choices: ChoicesView;
  readonly samples: readonly SampleView[];
  readonly keeping: Keeping;
}

export interface Refusal {
  readonly message: string;
  readonly places: readonly ProblemPlaceView[];
  /** Who found the mistakes: those of the page are marked while they are written. */
  readonly by: 'page' | 'server';
}

export interface PageState {
  readonly route: Route;
  readonly theme: Theme;
  readonly nowMs: number;
  readonly start: Start | undefined;
  /** Why there is no start. */
  readonly startFailure: string | undefined;
  /** The session was over when something was asked for. */
  readonly signedOut: boolean;
  readonly job: JobInView | undefined;
  readonly submitting: boolean;
  /** Of the last submission. */
  readonly refusal: Refusal | undefined;
  /** What the last action did, for people; empty: nothing to say. */
  readonly outcome: string;
}
