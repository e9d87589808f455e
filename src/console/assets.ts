/** The files of the page, read once: scripts, style, icon. They hold no data. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Answer, failure, escapeHtml } from '../lib/http/answer.js';
import type { Handler, Routes } from '../lib/http/router.js';
import { GatewayError } from '../model/errors.js';

interface Asset {
  readonly type: string;
  readonly etag: string;
  readonly body: Buffer;
}

const types: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

const folder = fileURLToPath(new URL('./page/', import.meta.url));

export class Assets {
  readonly #byName: ReadonlyMap<string, Asset>;

  private constructor(byName: ReadonlyMap<string, Asset>) {
    this.#byName = byName;
  }

  /** Rejects when the page was not built. */
  static async load(): Promise<Assets> {
    const names = (await readdir(folder)).filter((name) => extname(name) in types);
    const files = names.map((name): [string, string] => [name, join(folder, name)]);
    // The page's only library, which imports nothing.
    files.push(['preact.js', fileURLToPath(import.meta.resolve('preact'))]);
    const assets = files.map(async ([name, path]): Promise<[string, Asset]> => {
      const body = await readFile(path);
      const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
      return [name, { type: types[extname(name)] ?? '', etag, body }];
    });
    return new Assets(new Map(await Promise.all(assets)));
  }

  /** The page itself, which is the same for every view. */
  get page(): Buffer {
    return this.#byName.get('index.html')?.body ?? Buffer.alloc(0);
  }

  routes(): Routes {
    const show: Handler = ({ parameters: { name = '' }, headers }) =>
      this.#answer(name, headers['if-none-match']);
    return { 'GET /assets/{name}': show };
  }

  #answer(name: string, known: string | undefined): Answer {
    const asset = this.#byName.get(name);
    if (!asset) {
      return failure(new GatewayError('HTTP_PATH_UNKNOWN', 'The console has no such file.'));
    }
    const headers = {
      'content-type': asset.type,
      'cache-control': 'no-cache',
      etag: asset.etag,
    };
    return known === asset.etag
      ? { status: 304, headers, body: '' }
      : { status: 200, headers, body: asset.body };
  }
}

/**
 * What the console's pages may do: nothing but what comes from their own origin, and no text that
 * becomes markup (https://www.w3.org/TR/trusted-types/).
 */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

export const pageHeaders = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': CONTENT_SECURITY_POLICY,
  'cross-origin-opener-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
} as const;

// Pages without data: what went wrong, and where to go on.

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
