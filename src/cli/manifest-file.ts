/** Manifests of batch jobs on this machine. */
import { readNamedText } from '../lib/files/files.js';
import { formatProblems } from '../lib/yaml/problem.js';
import type { Manifest } from '../manifest/document.js';
import { type ParsedManifest, parseManifest } from '../manifest/parse.js';
import { GatewayError } from '../model/errors.js';

/** Local files are allowed: which are is for the gateway to say. Rejects with MANIFEST_INVALID, a line for each mistake. */
export async function readManifestFile(file: string): Promise<Manifest> {
  const text = await readNamedText(file, 'MANIFEST_INVALID', 'this file');
  const { manifest, problems } = parseManifest(text, { localPaths: true });
  if (manifest) return manifest;
  throw new GatewayError('MANIFEST_INVALID', shownProblems(problems, file), { problems });
}

/** `job.yaml:3:5: …`, a line for each. */
export function shownProblems(problems: ParsedManifest['problems'], file: string): string {
  return formatProblems(
    problems.map(({ column, line, message }) => ({
      place: { source: file, line, column },
      message,
    })),
  );
}
