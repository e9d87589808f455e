/** Callers without a token: services known by their certificate, and source networks. */
import { BlockList, isIP } from 'node:net';
import type { PeerCertificate } from '../model/policy.js';
import { type Caller, CERTIFICATE_ISSUER, NETWORK_ISSUER } from '../model/principal.js';
import type { Reader } from '../yaml/schema.js';
import type { ServiceEntry, SourceNetworkEntry } from './document.js';
import { compileGlob, type Glob } from './glob.js';

/** Finds the first service whose names match the certificate. */
export function compileServices(
  entries: readonly ServiceEntry[],
): (peer: PeerCertificate) => Caller | undefined {
  const services = entries.map((entry) => ({
    caller: callerOf(CERTIFICATE_ISSUER, entry.name),
    uriSans: entry.uri_sans.map((pattern) => compileGlob(pattern, '/')),
    dnsSans: entry.dns_sans.map((pattern) => compileGlob(pattern, '.')),
    subjects: new Set(entry.subjects),
  }));
  return (peer) =>
    services.find(
      ({ uriSans, dnsSans, subjects }) =>
        anyMatch(uriSans, peer.uriSans) ||
        anyMatch(dnsSans, peer.dnsSans) ||
        subjects.has(peer.subject),
    )?.caller;
}

/** Finds the first entry that holds the address. */
export function compileSourceNetworks(
  entries: readonly SourceNetworkEntry[],
  reader: Reader,
): (address: string) => Caller | undefined {
  const networks = entries.map((entry) => {
    const addresses = new BlockList();
    for (const network of entry.networks) {
      const [address = '', prefix = ''] = network.split('/');
      const family = isIP(address);
      if (family === 0 || Number(prefix) > (family === 4 ? 32 : 128)) {
        reader.refuseAt(
          entry,
          'networks',
          `"${network}" is not a network such as 10.1.0.0/16 or fd00::/8`,
        );
      } else addresses.addSubnet(address, Number(prefix), family === 4 ? 'ipv4' : 'ipv6');
    }
    return { caller: callerOf(NETWORK_ISSUER, entry.name), addresses };
  });
  return (address) => {
    const plain =
      address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
    const family = isIP(plain);
    if (family === 0 || networks.length === 0) return undefined;
    const found = networks.find(({ addresses }) =>
      addresses.check(plain, family === 4 ? 'ipv4' : 'ipv6'),
    );
    return found?.caller;
  };
}

function callerOf(issuer: string, subject: string): Caller {
  return Object.freeze({
    principal: Object.freeze({ issuer, subject }),
    groups: Object.freeze([]),
    claims: Object.freeze({}),
  });
}

function anyMatch(globs: readonly Glob[], names: readonly string[]): boolean {
  return globs.some((glob) => names.some((name) => glob.matches(name)));
}
