/**
 * Runs the containers of a rendered pod as processes of this machine, in what a container runtime would
 * give them: a root file system that is read-only, the pod's volumes and nothing else to write to, a
 * user who is in no /etc/passwd, the environment of the pod spec alone, and the names of the rendered
 * Services in /etc/hosts. The network is this machine's. Needs Linux with user namespaces.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { startTethered, type TetheredProcess } from '../../src/lib/child-processes/tether.js';
import type { Rendered } from './helm.js';

/** In no /etc/passwd. */
export const RANDOM_UID = 1_000_770_000;

interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: {
    readonly fieldRef?: { readonly fieldPath: string };
    readonly secretKeyRef?: { readonly name: string; readonly key: string };
  };
}

interface Mount {
  readonly name: string;
  readonly mountPath: string;
  readonly subPath?: string;
  readonly readOnly?: boolean;
}

export interface Container {
  readonly name: string;
  readonly command: readonly string[];
  readonly workingDir?: string;
  readonly env?: readonly EnvVar[];
  readonly volumeMounts?: readonly Mount[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly securityContext?: { readonly readOnlyRootFilesystem?: boolean };
}

interface Source {
  readonly configMap?: { readonly name: string };
}

interface Volume extends Source {
  readonly name: string;
  readonly emptyDir?: object;
  readonly projected?: { readonly sources: readonly Source[] };
}

export interface PodSpec {
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes?: readonly Volume[];
}

export interface PodTemplate {
  readonly metadata: { readonly labels: Readonly<Record<string, string>> };
  readonly spec: PodSpec;
}

export interface SandboxPod {
  readonly name: string;
  readonly ip: string;
  readonly template: PodTemplate;
  /** Folders that a kubelet mounts by itself: path in the container → folder. */
  readonly mounts?: Readonly<Record<string, string>>;
}

export interface SandboxOptions {
  readonly objects: readonly Rendered[];
  readonly namespace: string;
  readonly pods: readonly SandboxPod[];
  readonly sparkHome: string;
  /** By Secret and key. */
  readonly secrets?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Folders that are put into volumes before the pod starts: `volume/path` → folder. */
  readonly seeds?: Readonly<Record<string, string>>;
}

export class Sandbox {
  readonly #options: SandboxOptions;
  readonly #dir = mkdtempSync(join(tmpdir(), 'sandbox-'));
  readonly #running: TetheredProcess[] = [];

  constructor(options: SandboxOptions) {
    this.#options = options;
    writeFileSync(join(this.#dir, 'hosts'), hosts(options));
    writeFileSync(
      join(this.#dir, 'passwd'),
      'root:x:0:0:root:/root:/bin/bash\nspark:x:185:0::/home/spark:/bin/sh\n',
    );
  }

  /** Runs the pod's init containers to their end, then starts its first container. */
  start(podName: string): RunningContainer {
    const pod = this.#options.pods.find(({ name }) => name === podName);
    if (!pod) throw new Error(`There is no pod ${podName}.`);
    const { initContainers = [], containers } = pod.template.spec;
    this.#volumes(pod);
    for (const container of initContainers) {
      const [command = '', ...args] = this.#command(pod, container);
      execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    }
    const [container] = containers;
    if (!container) throw new Error(`${podName} has no container.`);
    const [command = '', ...args] = this.#command(pod, container);
    const logFile = join(this.#dir, `${podName}.log`);
    const running = startTethered({ command, args, env: {}, logFile, graceMs: 30_000 });
    this.#running.push(running);
    return { process: running, log: () => readFileSync(logFile, 'utf8') };
  }

  /** A file of one of the pod's volumes. */
  read(podName: string, volume: string, path: string): string {
    return readFileSync(join(this.#dir, podName, 'volumes', volume, path), 'utf8');
  }

  async stop(): Promise<void> {
    for (const running of this.#running) running.kill();
    await Promise.all(this.#running.map(({ ended }) => ended));
    rmSync(this.#dir, { recursive: true, force: true });
  }

  #volumes(pod: SandboxPod): void {
    for (const { name, configMap, projected } of pod.template.spec.volumes ?? []) {
      const folder = join(this.#dir, pod.name, 'volumes', name);
      mkdirSync(folder, { recursive: true });
      for (const source of projected?.sources ?? [{ ...(configMap && { configMap }) }]) {
        const of = source.configMap?.name;
        if (of === undefined) continue;
        const found = this.#options.objects.find(
          ({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === of,
        );
        if (!found) throw new Error(`${pod.name} mounts the ConfigMap ${of}, which is not there.`);
        const { data = {}, binaryData = {} } = found as unknown as {
          data?: Record<string, string>;
          binaryData?: Record<string, string>;
        };
        for (const [file, text] of Object.entries(data)) writeFileSync(join(folder, file), text);
        for (const [file, bytes] of Object.entries(binaryData)) {
          writeFileSync(join(folder, file), Buffer.from(bytes, 'base64'));
        }
      }
    }
    for (const [target, folder] of Object.entries(this.#options.seeds ?? {})) {
      cpSync(folder, join(this.#dir, pod.name, 'volumes', target), { recursive: true });
    }
  }

  /** The command that enters the container: namespaces, mounts, user, environment. */
  #command(pod: SandboxPod, container: Container): string[] {
    const volumes = join(this.#dir, pod.name, 'volumes');
    const root = join(this.#dir, pod.name, 'root');
    mkdirSync(root, { recursive: true });
    const { volumeMounts = [], workingDir = '/', env = [] } = container;
    const own = Object.entries(pod.mounts ?? {}).map(([path, from]) =>
      [from, path, 'ro'].join('\t'),
    );
    const mounts = volumeMounts
      .toSorted((a, b) => depth(a.mountPath) - depth(b.mountPath))
      .map(({ name, mountPath, subPath = '', readOnly = false }) =>
        [join(volumes, name, subPath), mountPath, readOnly ? 'ro' : 'rw'].join('\t'),
      );
    const readOnlyRoot = container.securityContext?.readOnlyRootFilesystem === true;
    return [
      '/usr/bin/unshare',
      '--user',
      '--map-root-user',
      '--mount',
      '--uts',
      '--propagation=private',
      '/bin/bash',
      '-c',
      enter,
      'enter',
      root,
      this.#options.sparkHome,
      process.env['JAVA_HOME'] ?? '',
      join(this.#dir, 'hosts'),
      join(this.#dir, 'passwd'),
      [...mounts, ...own].join('\n'),
      readOnlyRoot ? 'ro' : 'rw',
      workingDir,
      String(RANDOM_UID),
      `HOSTNAME=${pod.name}`,
      ...env.map((variable) => `${variable.name}=${this.#value(pod, variable)}`),
      '--',
      ...container.command,
    ];
  }

  #value(pod: SandboxPod, { name, value, valueFrom }: EnvVar): string {
    if (value !== undefined) return value;
    const { fieldRef, secretKeyRef } = valueFrom ?? {};
    const fields: Record<string, string> = {
      'metadata.name': pod.name,
      'metadata.namespace': this.#options.namespace,
      'status.podIP': pod.ip,
    };
    const found = fieldRef
      ? fields[fieldRef.fieldPath]
      : this.#options.secrets?.[secretKeyRef?.name ?? '']?.[secretKeyRef?.key ?? ''];
    if (found === undefined) throw new Error(`${name} of ${pod.name} has no value.`);
    return found;
  }
}

export interface RunningContainer {
  readonly process: TetheredProcess;
  log(): string;
}

/** Resolves when the port takes connections, as a kubelet's probe would see it. */
export async function listens(
  container: RunningContainer,
  host: string,
  port: number,
): Promise<void> {
  const over = new AbortController();
  void container.process.ended.then(() => over.abort());
  while (!over.signal.aborted) {
    const socket = connect(port, host);
    const open = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (open) return;
    await pause(200);
  }
  throw new Error(`It has ended:\n${container.log().slice(-4000)}`);
}

/** A query with a shuffle: executors reach the driver, and its block manager. */
export const SHUFFLE =
  'SELECT id % 7 AS k, count(*) AS n FROM range(0, 70, 1, 4) GROUP BY k ORDER BY k';
export const SHUFFLED = [0, 1, 2, 3, 4, 5, 6].map((k) => [k, 10]);

/** As the kubelet and cluster DNS answer: pods, Services, and pods below headless ones. */
function hosts({ objects, namespace, pods }: SandboxOptions): string {
  const lines = ['127.0.0.1 localhost', ...pods.map(({ name, ip }) => `${ip} ${name}`)];
  for (const { kind, metadata, spec } of objects) {
    if (kind !== 'Service') continue;
    const { selector, clusterIP } = spec as {
      selector: Record<string, string>;
      clusterIP?: string;
    };
    const selected = pods.filter(({ template }) =>
      Object.entries(selector).every(([key, value]) => template.metadata.labels[key] === value),
    );
    const full = `${metadata.name}.${namespace}.svc.cluster.local`;
    for (const { name, ip } of selected) {
      lines.push(`${ip} ${full} ${clusterIP === 'None' ? `${name}.${full}` : ''}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

function depth(path: string): number {
  return path.split('/').length;
}

/** root, Spark, Java, hosts, passwd, mounts, ro|rw, working directory, uid, HOSTNAME=name, NAME=value…, --, command… */
const enter = String.raw`
set -euo pipefail
root=$1 spark=$2 java=$3 hosts=$4 passwd=$5 mounts=$6 mode=$7 dir=$8 uid=$9
shift 9
hostname "\${1#HOSTNAME=}"
mount -t tmpfs -o mode=0755 tmpfs "$root"
for path in /bin /sbin /lib /lib64 /usr /etc /dev /proc /sys; do
  if [ -L "$path" ]; then ln -s "$(readlink "$path")" "$root$path"
  elif [ -d "$path" ]; then mkdir -p "$root$path"; mount --rbind "$path" "$root$path"
  fi
done
for path in /usr /etc; do mount -o remount,bind,ro "$root$path"; done
mount --bind "$hosts" "$root/etc/hosts"
mount --bind "$passwd" "$root/etc/passwd"
mount -o remount,bind,ro "$root/etc/passwd"
mkdir -p "$root/opt/spark" "$root/tmp"
for entry in "$spark"/*; do
  target=$root/opt/spark/\${entry##*/}
  if [ -d "$entry" ]; then mkdir "$target"; else : >"$target"; fi
  mount --bind "$entry" "$target"
  mount -o remount,bind,ro "$target"
done
env=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
if [ -n "$java" ]; then
  mkdir -p "$root/opt/java"
  mount --bind "$java" "$root/opt/java"
  mount -o remount,bind,ro "$root/opt/java"
  env+=(JAVA_HOME=/opt/java)
fi
while IFS=$'\t' read -r source target access; do
  [ -n "$source" ] || continue
  if [ -d "$source" ]; then mkdir -p "$root$target"; elif [ ! -e "$root$target" ]; then : >"$root$target"; fi
  mount --bind "$source" "$root$target"
  if [ "$access" = ro ]; then mount -o remount,bind,ro "$root$target"; fi
done <<<"$mounts"
while [ "$1" != -- ]; do env+=("$1"); shift; done
shift
mkdir "$root/.old"
cd "$root"
pivot_root . .old
mount -o remount,"$mode" / 
cd "$dir"
umount -l /.old
exec unshare --user --map-user="$uid" --map-group=0 env -i "\${env[@]}" "$@"
`.replaceAll('\\$', '$');
