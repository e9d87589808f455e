/** Light or dark, as chosen before; runs before anything is drawn, so it imports nothing. */
{
  const chosen = localStorage.getItem('theme');
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset['theme'] = chosen;
}
