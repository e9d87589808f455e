import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ControlPlaneTls, controlPlaneSecrets } from '../../src/envoy/bootstrap.js';
import type { TestAuthority } from './certificates.js';

/** Writes what Envoy needs to show itself to the control plane, and to know it. */
export function envoyTls(
  directory: string,
  authority: TestAuthority,
  serverName: string,
): ControlPlaneTls {
  const files = authority.writeFiles(directory, 'envoy', { commonName: 'envoy' });
  const secrets = controlPlaneSecrets(
    {
      directory,
      certificateFile: files.certFile,
      keyFile: files.keyFile,
      authorityFile: files.caFile,
    },
    serverName,
  );
  const identitySecretFile = join(directory, 'identity.json');
  const trustSecretFile = join(directory, 'trust.json');
  writeFileSync(identitySecretFile, secrets.identity);
  writeFileSync(trustSecretFile, secrets.trust);
  return { serverName, identitySecretFile, trustSecretFile };
}
