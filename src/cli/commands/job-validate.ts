/** `job validate`. */
import { readNamedText } from '../../lib/files/files.js';
import type { Manifest } from '../../manifest/document.js';
import { parseManifest } from '../../manifest/parse.js';
import { GatewayError } from '../../model/errors.js';
import type { Invocation, LocalCommand } from '../command.js';
import { shownProblems } from '../manifest-file.js';

export const jobValidate: LocalCommand = {
  name: 'job validate',
  about:
    'Checks manifests of batch jobs without a gateway, and says every mistake with its line and column.',
  operands: '<file>...',
  options: [
    {
      name: 'local-paths',
      about: 'Sources and sinks may be files of this machine, as where `npm start` runs jobs.',
    },
    { name: 'team', value: 'team', about: 'The team that they are to be submitted for.' },
  ],
  run: validate,
};

/** Prints a line for each file that is good. Rejects with MANIFEST_INVALID that holds every mistake of the others. */
async function validate({ operands, options, print }: Invocation): Promise<undefined> {
  const bad: string[] = [];
  for (const file of operands) {
    const text = await readNamedText(file, 'MANIFEST_INVALID', 'this file');
    const localPaths = options.has('local-paths');
    const { manifest, problems } = parseManifest(text, { localPaths, team: options.get('team') });
    if (manifest) print(`${file}: good, ${contentsOf(manifest)}\n`);
    else bad.push(shownProblems(problems, file));
  }
  if (bad.length > 0) throw new GatewayError('MANIFEST_INVALID', bad.join('\n'));
}

function contentsOf({ metadata, spec }: Manifest): string {
  const { sinks, sources, transforms } = spec.coreEtl;
  const counts = [
    counted(sources.length, 'source'),
    counted(transforms.length, 'transform'),
    counted(sinks.length, 'sink'),
  ];
  return `a job of team ${metadata.team} for Spark ${spec.engine.version} with ${counts.join(', ')}`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
