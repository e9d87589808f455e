/** The development issuer's page on which one chooses who to be. */
import { createHash } from 'node:crypto';
import { escapeHtml } from '../http/html.js';
import type { Answer } from './answer.js';
import { people } from './people.js';

const style = `
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { max-width: 26rem; margin: 12vh auto; padding: 0 1rem; }
  ul { list-style: none; padding: 0; }
  a { display: block; padding: .6rem 1rem; margin: .5rem 0; border: 1px solid #8888;
      border-radius: .4rem; color: inherit; text-decoration: none; }
  a:hover, a:focus-visible { border-color: currentColor; }
  small { display: block; opacity: .75; }
`;
const styleHash = createHash('sha256').update(style).digest('base64');

/** Links that repeat the request of `query` with one of the people. */
export function signInPage(query: URLSearchParams): Answer {
  const links = people.map(({ user, groups }) => {
    const chosen = new URLSearchParams(query);
    chosen.set('user', user);
    const href = escapeHtml(`/authorize?${chosen.toString()}`);
    return `<li><a href="${href}">${escapeHtml(user)}<small>${escapeHtml(groups.join(', '))}</small></a></li>`;
  });
  const body = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Sign in as</title>
<style>${style}</style>
<h1>Sign in as</h1>
<p>These are the sample people of the development issuer. It asks for no password.</p>
<ul>${links.join('')}</ul>
</html>
`;
  return {
    status: 200,
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    },
    body,
  };
}
