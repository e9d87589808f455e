/** X.509 certificates for tests, made with nothing but Node: an authority and what it signs. */
import {
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TlsFiles } from '../../src/lib/grpc/tls.js';

export interface CertificateNames {
  readonly commonName: string;
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly ipv4?: readonly string[];
}

export interface Issued {
  readonly certificatePem: string;
  readonly keyPem: string;
}

export class TestAuthority {
  readonly #key: KeyObject;
  readonly #name: Buffer;
  readonly certificatePem: string;

  constructor(commonName = 'test authority') {
    const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#key = pair.privateKey;
    this.#name = distinguishedName(commonName);
    const extensions = [extension('2.5.29.19', sequence(der(0x01, Buffer.from([0xff]))), true)];
    this.certificatePem = pem('CERTIFICATE', this.#sign(this.#name, pair.publicKey, extensions));
  }

  issue(names: CertificateNames): Issued {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const alternatives = [
      ...(names.uris ?? []).map((uri) => der(0x86, Buffer.from(uri, 'latin1'))),
      ...(names.dnsNames ?? []).map((name) => der(0x82, Buffer.from(name, 'latin1'))),
      ...(names.ipv4 ?? []).map((ip) => der(0x87, Buffer.from(ip.split('.').map(Number)))),
    ];
    const extensions =
      alternatives.length > 0 ? [extension('2.5.29.17', sequence(...alternatives), false)] : [];
    const certificate = this.#sign(
      distinguishedName(names.commonName),
      createPublicKey(privateKey),
      extensions,
    );
    return {
      certificatePem: pem('CERTIFICATE', certificate),
      keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    };
  }

  /** Issues and writes `<name>.crt`, `<name>.key` and `<name>.ca` into a directory. */
  writeFiles(directory: string, name: string, names: CertificateNames): TlsFiles {
    const files = {
      certFile: join(directory, `${name}.crt`),
      keyFile: join(directory, `${name}.key`),
      caFile: join(directory, `${name}.ca`),
    };
    const issued = this.issue(names);
    writeFileSync(files.certFile, issued.certificatePem);
    writeFileSync(files.keyFile, issued.keyPem);
    writeFileSync(files.caFile, this.certificatePem);
    return files;
  }

  #sign(subject: Buffer, publicKey: KeyObject, extensions: readonly Buffer[]): Buffer {
    const ecdsaWithSha256 = sequence(objectIdentifier('1.2.840.10045.4.3.2'));
    const dayMs = 86_400_000;
    const body = sequence(
      der(0xa0, integer(Buffer.from([2]))),
      integer(Buffer.concat([Buffer.from([1]), randomBytes(15)])),
      ecdsaWithSha256,
      this.#name,
      sequence(time(Date.now() - dayMs), time(Date.now() + dayMs)),
      subject,
      publicKey.export({ type: 'spki', format: 'der' }),
      ...(extensions.length > 0 ? [der(0xa3, sequence(...extensions))] : []),
    );
    return sequence(body, ecdsaWithSha256, bitString(sign('sha256', body, this.#key)));
  }
}

function der(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const head =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...head]), content]);
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(0x30, ...parts);
}

function integer(bytes: Buffer): Buffer {
  return der(0x02, bytes);
}

function bitString(bytes: Buffer): Buffer {
  return der(0x03, Buffer.from([0]), bytes);
}

function objectIdentifier(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const bytes = [first * 40 + second];
  for (const part of rest) {
    const digits = [part & 0x7f];
    for (let high = part >> 7; high > 0; high >>= 7) digits.unshift((high & 0x7f) | 0x80);
    bytes.push(...digits);
  }
  return der(0x06, Buffer.from(bytes));
}

function distinguishedName(commonName: string): Buffer {
  const attribute = sequence(objectIdentifier('2.5.4.3'), der(0x0c, Buffer.from(commonName)));
  return sequence(der(0x31, attribute));
}

function extension(id: string, value: Buffer, critical: boolean): Buffer {
  const flag = critical ? [der(0x01, Buffer.from([0xff]))] : [];
  return sequence(objectIdentifier(id), ...flag, der(0x04, value));
}

function time(atMs: number): Buffer {
  const digits = new Date(atMs).toISOString().replaceAll(/[-:T]|\.\d+/g, '');
  return der(0x18, Buffer.from(digits, 'latin1'));
}

function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
