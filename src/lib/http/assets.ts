/** The files of a page, read once: script, style, icon. They hold no data. */
import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { GatewayError } from '../../model/errors.js';
import { type Answer, escapeHtml, failure } from './answer.js';
import type { Handler, Routes } from './router.js';

interface Asset {
  readonly type: string;
  readonly etag: string;
  readonly body: Buffer;
  readonly zipped: Buffer;
}

const types: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Stands in index.html for what lets the page's own styles in. */
const NONCE = '{{nonce}}';

export class Assets {
  readonly #byName: ReadonlyMap<string, Asset>;

  private constructor(byName: ReadonlyMap<string, Asset>) {
    this.#byName = byName;
  }

  /** @param folder what the build made of a page. Rejects when it is not there. */
  static async load(folder: string): Promise<Assets> {
    const names = (await readdir(folder)).filter((name) => extname(name) in types);
    const assets = names.map(async (name): Promise<[string, Asset]> => {
      const body = await readFile(join(folder, name));
      const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
      const zipped = await promisify(gzip)(body, { level: 9 });
      return [name, { type: types[extname(name)] ?? '', etag, body, zipped }];
    });
    return new Assets(new Map(await Promise.all(assets)));
  }

  /** The page itself, which is the same for every view. */
  page(): Answer {
    const html = this.#byName.get('index.html')?.body.toString('utf8') ?? '';
    if (!html.includes(NONCE)) return { status: 200, headers: pageHeaders(), body: html };
    const nonce = randomBytes(16).toString('base64');
    return { status: 200, headers: pageHeaders(nonce), body: html.replaceAll(NONCE, nonce) };
  }

  routes(): Routes {
    const show: Handler = ({ parameters: { name = '' }, headers }) =>
      this.#answer(name, headers['if-none-match'], headers['accept-encoding']);
    return { 'GET /assets/{name}': show };
  }

  #answer(
    name: string,
    known: string | undefined,
    accepted: string | string[] | undefined,
  ): Answer {
    const asset = this.#byName.get(name);
    if (!asset) {
      return failure(new GatewayError('HTTP_PATH_UNKNOWN', 'The page has no such file.'));
    }
    const headers = {
      'content-type': asset.type,
      'cache-control': 'no-cache',
      vary: 'accept-encoding',
      etag: asset.etag,
    };
    if (known === asset.etag) return { status: 304, headers, body: '' };
    return takesGzip(String(accepted))
      ? { status: 200, headers: { ...headers, 'content-encoding': 'gzip' }, body: asset.zipped }
      : { status: 200, headers, body: asset.body };
  }
}

/** RFC 9110 section 12.5.3; `gzip;q=0` refuses it. */
function takesGzip(accepted: string): boolean {
  return accepted
    .split(',')
    .some((coding) => /^\s*gzip\s*(;\s*q=(1|0\.\d*[1-9]))?\s*$/.test(coding));
}

/**
 * What a page may do: nothing but what comes from its own origin, and no text that becomes markup
 * (https://www.w3.org/TR/trusted-types/).
 * @param nonce lets in the style elements that have it; without one there may be none
 */
function pageHeaders(nonce?: string) {
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    nonce === undefined ? "style-src 'self'" : `style-src 'self' 'nonce-${nonce}'`,
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ');
  return {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': policy,
    'cross-origin-opener-policy': 'same-origin',
    'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  } as const;
}

// Pages without data: what went wrong, and where to go on.

export interface Notice {
  readonly status?: number;
  readonly title: string;
  readonly text: string;
  readonly link: { readonly href: string; readonly text: string };
  /** Whose page it is, for the window's title. */
  readonly product: string;
  readonly cookies?: string[];
}

/** It has the look of the page whose assets are served beside it. */
export function notice({ status = 200, title, text, link, product, cookies = [] }: Notice): Answer {
  return {
    status,
    headers: { ...pageHeaders(), 'set-cookie': cookies },
    body: `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)} – ${escapeHtml(product)}</title>
<link rel="icon" href="/assets/icon.svg">
<link rel="stylesheet" href="/assets/page.css">
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
