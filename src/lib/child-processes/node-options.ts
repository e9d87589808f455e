/**
 * With its usual 1 MiB for new objects Node collects garbage hundreds of times in a second of a busy
 * authz or control plane, and copies what is under way each time. The image has the same (Dockerfile).
 */
export const NODE_OPTIONS: readonly string[] = ['--enable-source-maps', '--min-semi-space-size=16'];
