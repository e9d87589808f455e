/** What a page is drawn from. A change draws it again, at most once for each frame. */
export class Store<State> {
  #state: State;
  readonly #draw: (state: State) => void;
  #drawing = false;

  constructor(state: State, draw: (state: State) => void) {
    this.#state = state;
    this.#draw = draw;
  }

  get state(): State {
    return this.#state;
  }

  set(change: Partial<State>): void {
    this.#state = { ...this.#state, ...change };
    if (this.#drawing) return;
    this.#drawing = true;
    // A page in the background has no frames, and is drawn when it is looked at.
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#draw(this.#state);
    });
  }
}
