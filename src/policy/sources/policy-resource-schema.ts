/** The custom resource that holds a routing policy: its schema is made from the format of the file. */
import { stringify } from 'yaml';
import { fromJson } from '../../lib/yaml/yaml-tree.js';
import { type JsonSchema, type Dialect, jsonSchema } from '../../lib/yaml/json-schema.js';
import { GatewayError } from '../../model/errors.js';
import { type CheckedPolicy, checkParsed, type PolicyOptions } from '../compile.js';
import { policyDocument, API_VERSION } from '../document.js';

const GROUP = 'spark-gateway.io';
export const RESOURCE_API_VERSION = `${GROUP}/v1alpha1`;
export const KIND = 'RoutingPolicy';
export const PLURAL = 'routingpolicies';

/** The longest text of a policy in `status.inForce`, in characters: with `spec` it fits into what etcd takes. */
export const LONGEST_DOCUMENT = 500_000;
/** https://github.com/kubernetes/apimachinery: the longest message of a condition. */
export const LONGEST_MESSAGE = 32_768;

const time = { type: 'string', format: 'date-time' };

const condition: JsonSchema = {
  type: 'object',
  required: ['type', 'status', 'lastTransitionTime', 'reason', 'message'],
  properties: {
    type: {
      description: 'Accepted: spec is good. Programmed: what spec says is in force.',
      type: 'string',
      enum: ['Accepted', 'Programmed'],
    },
    status: { type: 'string', enum: ['True', 'False', 'Unknown'] },
    observedGeneration: { type: 'integer', minimum: 0 },
    lastTransitionTime: time,
    reason: {
      type: 'string',
      minLength: 1,
      maxLength: 1024,
      pattern: '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$',
    },
    message: {
      description:
        'What is wrong in spec, by its path, and what is allowed: a line for each mistake.',
      type: 'string',
      maxLength: LONGEST_MESSAGE,
    },
  },
};

const status: JsonSchema = {
  description: 'What the gateway made of it. Written by the leading control plane.',
  type: 'object',
  properties: {
    observedGeneration: { type: 'integer', minimum: 0 },
    inForce: {
      description:
        'The last good policy: it decides, and a control plane that starts while spec is bad begins with it.',
      type: 'object',
      required: ['version', 'document'],
      properties: {
        version: { type: 'string', maxLength: 64 },
        document: {
          description: 'As a policy file would hold it.',
          type: 'string',
          maxLength: LONGEST_DOCUMENT,
        },
      },
    },
    conditions: {
      type: 'array',
      maxItems: 8,
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['type'],
      items: condition,
    },
  },
};

export function policyCrd(): JsonSchema {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name: `${PLURAL}.${GROUP}`,
      labels: { 'app.kubernetes.io/name': 'spark-gateway' },
    },
    spec: {
      group: GROUP,
      scope: 'Namespaced',
      names: {
        kind: KIND,
        listKind: `${KIND}List`,
        plural: PLURAL,
        singular: 'routingpolicy',
        shortNames: ['sgrp'],
        categories: ['spark'],
      },
      versions: [
        {
          name: 'v1alpha1',
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: [
            conditionColumn('Accepted'),
            conditionColumn('Programmed'),
            { name: 'Version', type: 'string', jsonPath: '.status.inForce.version' },
            { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
          ],
          schema: {
            openAPIV3Schema: {
              description: 'Who may go where, pools and quotas of a Spark Connect gateway.',
              type: 'object',
              required: ['spec'],
              properties: {
                apiVersion: { type: 'string' },
                kind: { type: 'string' },
                metadata: { type: 'object' },
                spec: specSchema(),
                status,
              },
            },
          },
        },
      ],
    },
  };
}

/** As `spark-gateway policy crd` prints it; k8s/crd/routingpolicies.yaml says the same. */
export function renderPolicyCrd(): string {
  return `# Made by \`spark-gateway policy crd\`.\n${stringify(policyCrd(), { aliasDuplicateObjects: false })}`;
}

/** The document without what the resource itself says already. */
function specSchema(): JsonSchema {
  const { properties, required, ...rest } = policySchema('kubernetes');
  return {
    description: 'The fields of a policy file, without its apiVersion and kind.',
    ...rest,
    required: Array.isArray(required) ? required.filter(isOwn) : [],
    properties: Object.fromEntries(
      Object.entries(properties ?? {}).filter(([name]) => isOwn(name)),
    ),
  };
}

function isOwn(field: unknown): boolean {
  return field !== 'apiVersion' && field !== 'kind';
}

function conditionColumn(type: string) {
  return {
    name: type,
    type: 'string',
    jsonPath: `.status.conditions[?(@.type=="${type}")].status`,
  };
}

// The policy's format for editors and for the API server.

/** `policy validate` knows more: names that a policy does not have, environments that it does not list. */
export function policySchema(dialect: Dialect): JsonSchema {
  const schema = jsonSchema(policyDocument, dialect);
  return dialect === 'kubernetes'
    ? schema
    : {
        $schema: 'https://json-schema.org/draft/2020-12/schema',
        title: 'RoutingPolicy of the Spark Connect gateway',
        ...schema,
      };
}

/** As `spark-gateway policy schema` prints it, and as docs/routing-policy.schema.json holds it. */
export function renderPolicySchema(): string {
  return `${JSON.stringify(policySchema('draft-2020-12'), undefined, 2)}\n`;
}

// A policy as a custom resource holds it, compiled as a file would be.

/** Throws POLICY_INVALID whose message holds every mistake with its path, such as `spec.access[3].what`. */
export function compileSpec(spec: object, options: PolicyOptions): CheckedPolicy {
  const document = { ...spec, apiVersion: API_VERSION, kind: KIND };
  const text = stringify(
    { apiVersion: API_VERSION, kind: KIND, ...spec },
    { aliasDuplicateObjects: false },
  );
  if (text.length > LONGEST_DOCUMENT) {
    throw new GatewayError(
      'POLICY_INVALID',
      `spec: ${text.length} characters as YAML are too many; a resource may have ${LONGEST_DOCUMENT}`,
    );
  }
  const value = fromJson(document, 'spec');
  return checkParsed({ value, wellFormed: true, problems: [] }, text, options, '/');
}
