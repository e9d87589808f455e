/** The files of the page, read once: scripts, style, icon. They hold no data. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Answer } from '../http/answer.js';
import type { Handler, Routes } from '../http/router.js';
import { failure } from '../http/answer.js';
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
