/** The choice between light and dark; without one the system's counts. */
export type Theme = 'system' | 'light' | 'dark';

const THEMES: readonly Theme[] = ['system', 'light', 'dark'];

export function theme(): Theme {
  const chosen = localStorage.getItem('theme');
  return THEMES.find((candidate) => candidate === chosen) ?? 'system';
}

export function chooseTheme(chosen: Theme): void {
  if (chosen === 'system') {
    localStorage.removeItem('theme');
    delete document.documentElement.dataset['theme'];
  } else {
    localStorage.setItem('theme', chosen);
    document.documentElement.dataset['theme'] = chosen;
  }
}

export function nextTheme(current: Theme): Theme {
  return THEMES[(THEMES.indexOf(current) + 1) % THEMES.length] ?? 'system';
}
