/** What the build made of the console's page. */
import { fileURLToPath } from 'node:url';
import { Assets } from '../lib/http/assets.js';

/** Rejects when the page was not built. */
export function consoleAssets(): Promise<Assets> {
  return Assets.load(fileURLToPath(new URL('./assets/', import.meta.url)));
}
