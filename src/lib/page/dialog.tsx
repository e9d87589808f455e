/** The dialog that asks before something is done. */
import { Component, type ComponentChildren, createRef } from 'preact';
import { messageOf } from './request.js';

interface Props {
  readonly title: string;
  /** On the button that does it. */
  readonly verb: string;
  /** Resolves with what was done, for people. What it rejects with is shown, and the dialog stays. */
  readonly act: (form: FormData) => Promise<string>;
  /** `outcome`: what was done; empty when nothing was. */
  readonly onClose: (outcome: string) => void;
  readonly children: ComponentChildren;
}

interface State {
  readonly sending?: boolean;
  readonly error?: string;
}

export class Dialog extends Component<Props, State> {
  readonly #dialog = createRef<HTMLDialogElement>();
  #outcome = '';

  override componentDidMount(): void {
    this.#dialog.current?.showModal();
  }

  override render(props: Props, { sending = false, error }: State): ComponentChildren {
    const { title, verb, children } = props;
    return (
      <dialog
        ref={this.#dialog}
        aria-labelledby="dialog-title"
        onClose={() => this.props.onClose(this.#outcome)}
      >
        <form
          method="dialog"
          onSubmit={(event) => {
            if (event.submitter?.getAttribute('value') !== 'act') return;
            event.preventDefault();
            void this.#act(new FormData(event.currentTarget));
          }}
        >
          <h2 id="dialog-title">{title}</h2>
          {children}
          <p class="error" role="alert">
            {error}
          </p>
          <div class="actions">
            <button type="submit" value="cancel" formNoValidate>
              Cancel
            </button>
            <button type="submit" value="act" class="danger" disabled={sending}>
              {verb}
            </button>
          </div>
        </form>
      </dialog>
    );
  }

  async #act(form: FormData): Promise<void> {
    this.setState({ sending: true });
    try {
      this.#outcome = await this.props.act(form);
      this.#dialog.current?.close();
    } catch (error) {
      this.setState({ sending: false, error: messageOf(error) });
    }
  }
}
