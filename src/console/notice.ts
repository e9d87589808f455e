/** Pages without data: what went wrong, and where to go on. */
import type { Answer } from '../http/answer.js';
import { pageHeaders } from './page-headers.js';

export interface Notice {
  readonly status?: number;
  readonly title: string;
  readonly text: string;
  readonly link: { readonly href: string; readonly text: string };
  readonly cookies?: string[];
}

export function notice({ status = 200, title, text, link, cookies = [] }: Notice): Answer {
  return {
    status,
    headers: { ...pageHeaders, 'set-cookie': cookies },
    body: `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escaped(title)} – Spark Connect gateway</title>
<link rel="icon" href="/assets/icon.svg">
<link rel="stylesheet" href="/assets/theme.css">
<link rel="stylesheet" href="/assets/frame.css">
<link rel="stylesheet" href="/assets/views.css">
</head>
<body class="notice">
<main>
<h1>${escaped(title)}</h1>
<p>${escaped(text)}</p>
<p><a class="button" href="${escaped(link.href)}">${escaped(link.text)}</a></p>
</main>
</body>
</html>
`,
  };
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
