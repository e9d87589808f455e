/** Reads small objects by their URL: file:// below known folders, and s3://. */
import { GatewayError } from '../../model/errors.js';
import { readFileBelow } from './file-object.js';
import { type S3Options, S3Objects } from './s3-object.js';

export interface StorageOptions {
  /** Absolute paths: file:// URLs are read below these only. */
  readonly folders: readonly string[];
  readonly s3: S3Options;
}

export interface Storage {
  /**
   * The whole object; undefined: there surely is none. Rejects with RESULTS_UNREADABLE when it has
   * more than `maxBytes`, is in a place that is not read, or cannot be read now.
   */
  read(url: string, maxBytes: number, signal?: AbortSignal): Promise<Buffer | undefined>;
}

/** The client for S3 is loaded when it is needed first. */
export function openStorage({ folders, s3 }: StorageOptions): Storage {
  const objects = new S3Objects(s3);
  return {
    async read(url, maxBytes, signal) {
      const parsed = URL.canParse(url) ? new URL(url) : undefined;
      switch (parsed?.protocol) {
        case 'file:':
          return readFileBelow(folders, parsed, maxBytes);
        // What Hadoop calls its client for the same.
        case 's3a:':
        case 's3:':
          return objects.read(parsed, maxBytes, signal);
        default:
          throw new GatewayError(
            'RESULTS_UNREADABLE',
            `${JSON.stringify(url.slice(0, 200))} cannot be read: it must begin with file:// or s3://.`,
          );
      }
    },
  };
}

/** The URL of an object in a folder that is itself a URL, with or without a slash at its end. */
export function objectIn(folder: string, name: string): string {
  return `${folder.replace(/\/+$/, '')}/${name}`;
}
