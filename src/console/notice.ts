/** Pages without data: what went wrong, and where to go on. */
import type { Answer } from '../http/answer.js';
import { escapeHtml } from '../http/html.js';
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
<title>${escapeHtml(title)} – Spark Connect gateway</title>
<link rel="icon" href="/assets/icon.svg">
<link rel="stylesheet" href="/assets/theme.css">
<link rel="stylesheet" href="/assets/frame.css">
<link rel="stylesheet" href="/assets/views.css">
</head>
<body class="notice">
<main>
<h1>${escapeHtml(title)}</h1>
<p>${escapeHtml(text)}</p>
<p><a class="button" href="${escapeHtml(link.href)}">${escapeHtml(link.text)}</a></p>
</main>
</body>
</html>
`,
  };
}
