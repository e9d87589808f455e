/** Who uses a setting. `start` uses all of them. */

export const controlPlane = ['control-plane'] as const;
export const sidecars = ['authz'] as const;
export const servers = ['control-plane', 'authz'] as const;
export const connected = ['control-plane', 'authz', 'bootstrap'] as const;
export const issuers = ['issuer', 'token'] as const;
export const operator = ['operator'] as const;
export const envoyChild = ['start'] as const;
export const everyRole = ['control-plane', 'authz', 'issuer', 'bootstrap', 'token'] as const;
