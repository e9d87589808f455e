/** What every view stands in: header, banner, and what the last action did. */
import type { ComponentChildren } from 'preact';
import type { Theme } from './theme-choice.js';

export interface HeaderLink {
  readonly href: string;
  readonly text: string;
  readonly current: boolean;
  /** A number that wants to be seen; 0: none. */
  readonly badge?: { readonly count: number; readonly about: string };
}

interface Props {
  readonly brand: string;
  readonly links: readonly HeaderLink[];
  /** In the header, before the choice of colours. */
  readonly end?: ComponentChildren;
  /** undefined: nobody is known to be signed in. */
  readonly who:
    { readonly name: string; readonly about: string; readonly role?: string } | undefined;
  readonly theme: Theme;
  readonly banner: ComponentChildren;
  /** For people; empty: nothing to say. */
  readonly outcome: string;
  readonly onTheme: () => void;
  readonly onSignOut: () => void;
  readonly children: ComponentChildren;
}

export function Frame(props: Props) {
  const { banner, outcome, children } = props;
  return (
    <>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <Header {...props} />
      <div role="status" class="connection">
        {banner === undefined ? null : <p class="banner">{banner}</p>}
      </div>
      <main id="main" tabIndex={-1}>
        {children}
      </main>
      <p class={outcome === '' ? 'outcome' : 'outcome shown'} role="status">
        {outcome}
      </p>
    </>
  );
}

function Header({ brand, links, end, who, theme, onTheme, onSignOut }: Props) {
  return (
    <header>
      <a class="brand" href="/">
        {brand}
      </a>
      <nav aria-label="Views">
        {links.map(({ href, text, current, badge }) => (
          <a key={href} href={href} aria-current={current ? 'page' : undefined}>
            {text}
            {badge && badge.count > 0 ? (
              <span class="badge" title={badge.about}>
                {badge.count}
              </span>
            ) : null}
          </a>
        ))}
      </nav>
      <div class="header-end">
        {end}
        <button type="button" onClick={onTheme} title="Colours">
          {{ system: 'Auto', light: 'Light', dark: 'Dark' }[theme]}
        </button>
        {who ? (
          <>
            <span class="who" title={who.about}>
              {who.name}
              {who.role === undefined ? null : (
                <>
                  {' '}
                  <span class="role">{who.role}</span>
                </>
              )}
            </span>
            <button type="button" onClick={onSignOut}>
              Sign out
            </button>
          </>
        ) : null}
      </div>
    </header>
  );
}
