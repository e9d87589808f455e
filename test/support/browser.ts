/** A real Chromium, in which nothing may leave the pages that a test is about. */
import type { ExecutionContext } from 'ava';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';

/** Chromium as an operator has it; with a sandbox of its own where the user may have one. */
export function launchBrowser(): Promise<Browser> {
  const executablePath = process.env['CHROMIUM_BIN'];
  if (!executablePath) {
    throw new Error('These tests need Chromium: run them with npm test, or set CHROMIUM_BIN.');
  }
  const fonts = process.env['CHROMIUM_FONTS'];
  const libraries = process.env['CHROMIUM_LIBRARIES'];
  return chromium.launch({
    executablePath,
    chromiumSandbox: false,
    args: ['--disable-background-networking', '--disable-component-update', '--disable-quic'],
    env: {
      ...process.env,
      ...(fonts ? { FONTCONFIG_PATH: fonts } : {}),
      ...(libraries ? { LD_LIBRARY_PATH: libraries } : {}),
    },
  });
}

export interface Visit {
  readonly context: BrowserContext;
  readonly page: Page;
  /** What went wrong in its pages: requests to other origins, violations of the policy, exceptions. */
  readonly faults: readonly string[];
}

export interface VisitOptions {
  /** Origins that its pages may ask. */
  readonly origins: readonly string[];
  readonly width?: number;
  readonly height?: number;
  readonly colorScheme?: 'light' | 'dark';
}

/** A browser window of its own, as of someone who was never there. */
export async function visit(
  t: ExecutionContext,
  browser: Browser,
  { origins, width = 1280, height = 900, colorScheme = 'light' }: VisitOptions,
): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme });
  t.teardown(() => context.close());
  const faults: string[] = [];
  await context.exposeBinding('reportFault', (_source, text: string) => {
    faults.push(text);
  });
  await context.addInitScript({
    content: `addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
      reportFault('the page may not: ' + violatedDirective + ' ' + blockedURI));`,
  });
  context.on('request', (request) => {
    const { origin, protocol } = new URL(request.url());
    if (protocol !== 'data:' && !origins.includes(origin)) faults.push(`asks ${request.url()}`);
  });
  context.on('weberror', (error) => faults.push(`exception: ${error.error().message}`));
  context.on('console', (message) => {
    const text = message.text();
    if (message.type() === 'error' && /Content Security Policy|TrustedHTML/.test(text))
      faults.push(text);
  });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  return { context, page, faults };
}
