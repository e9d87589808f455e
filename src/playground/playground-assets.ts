/** What the build made of the Playground's page, and the addresses that show it. */
import { fileURLToPath } from 'node:url';
import { Assets } from '../lib/http/assets.js';

/** Each has a view of its own on the page, which draws it from the address. */
export const PLAYGROUND_VIEWS = ['/', '/jobs', '/jobs/{id}'] as const;

/** Rejects when the page was not built. */
export function playgroundAssets(): Promise<Assets> {
  return Assets.load(fileURLToPath(new URL('./assets/', import.meta.url)));
}
