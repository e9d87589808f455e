/** The file that coreetl_runner.py reads, and what tells one submission from another. */
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { canonicalJson, canonicalManifest, mapOf } from './canonical.js';
import type { Manifest } from './document.js';
import type { JobOptions } from './options.js';

const FORMAT = 1;

export interface JobFile {
  readonly jobId: string;
  readonly team: string;
  readonly environment: string;
  readonly user: string;
  /** A file:// or s3:// URL. */
  readonly outputPath: string;
  readonly sandbox: boolean;
  readonly sampling: number | undefined;
  readonly manifest: Manifest;
}

/** Gzipped JSON; equal jobs give equal bytes. */
export function canonicalJobFile(job: JobFile): Uint8Array {
  const file = gzipSync(jobFileJson(job), { level: 9 });
  // The system that it was made on (RFC 1952, section 2.3: OS): unknown. Node leaves the time at 0.
  file[9] = 255;
  return file;
}

/** What `canonicalJobFile` packs. */
export function jobFileJson(job: JobFile): string {
  return canonicalJson(
    mapOf({
      format: FORMAT,
      job_id: job.jobId,
      team: job.team,
      environment: job.environment,
      user: job.user,
      output_path: job.outputPath,
      sandbox: job.sandbox,
      sampling: job.sampling ?? null,
      manifest: canonicalManifest(job.manifest, { places: true }),
    }),
  );
}

export interface Submission {
  readonly user: string;
  readonly team: string;
  readonly environment: string;
  readonly jobName: string;
  readonly manifest: Manifest;
  readonly options: JobOptions;
}

/**
 * SHA-256 in hex of what was asked for. Comments and line breaks of the manifest make no difference,
 * nor does what is chosen for the job.
 */
export function fingerprintOf(submission: Submission): string {
  const { environment, jobName, manifest, options, team, user } = submission;
  const content = mapOf({
    format: FORMAT,
    user,
    team,
    environment,
    job_name: jobName,
    sandbox: options.sandbox ?? null,
    sampling: options.sampling ?? null,
    ttl_seconds: options.ttlSeconds ?? null,
    manifest: canonicalManifest(manifest, { places: false }),
  });
  return createHash('sha256').update(canonicalJson(content)).digest('hex');
}
