/**
 * What is remembered from check to check, so that what comes again is the same value and is neither made
 * nor looked at anew. All of it is bounded, none of it decides anything, and it goes with its owner.
 */
import type { AllowedResponse } from './check-codec.js';
import { newCredentials, newPeerCertificates } from './credentials.js';
import { PrefixInflater } from './request.js';
import type { LastResponses } from './response.js';
import { TextCache } from '../lib/protobuf/text-cache.js';

export class CheckMemory {
  /** Names and values of headers, tokens among them, paths and hosts: a peer's, so that they may be long. */
  readonly texts = new TextCache({ places: 16_384, maxBytes: 16 * 1024 * 1024 });
  /** Of bodies: sessions and users have many requests. */
  readonly ids = new TextCache({ places: 16_384, maxBytes: 2 * 1024 * 1024 });
  readonly credentials = newCredentials();
  readonly peerCertificates = newPeerCertificates();
  /** The last one of each assignment. */
  readonly responses: LastResponses = new WeakMap();
  /** Those that allow stay the same value for as long as nothing changes. */
  readonly encoded = new WeakMap<AllowedResponse, Buffer>();
  readonly inflater = new PrefixInflater();
}
