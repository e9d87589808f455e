/** Which gateway is asked, and as whom. */
import { readFile } from 'node:fs/promises';
import { GatewayError, reasonOf } from '../../model/errors.js';
import { AdminClient, exchange } from './client.js';

const URL_VARIABLE = 'SPARK_GATEWAY_ADMIN_URL';
const TOKEN_VARIABLE = 'SPARK_GATEWAY_TOKEN';

/** The person of the development issuer that asks, where nobody is named. */
const DEVELOPER = 'alice';

export interface ConnectionOptions {
  /** Of the command line, by name. */
  readonly options: ReadonlyMap<string, string>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** `admin.listen_addr` of the settings, as this machine reaches it. */
  readonly settingsUrl: string;
  /** Of the development issuer, where the settings enable it. */
  readonly issuerUrl: string | undefined;
  /** Somebody named the settings, so that they are not those of another gateway. */
  readonly settingsNamed: boolean;
}

/** Rejects with ARGUMENT_INVALID, TOKEN_MISSING or ADMIN_API_UNREACHABLE. */
export async function connect(connection: ConnectionOptions): Promise<AdminClient> {
  const { options, env, settingsUrl } = connection;
  const named = options.get('server') ?? env[URL_VARIABLE];
  const url = urlOf(named || settingsUrl);
  const caFile = options.get('ca-file');
  const ca = caFile === undefined ? undefined : await contentOf(caFile, '--ca-file');
  return new AdminClient({ url, ca, token: await tokenOf(connection, Boolean(named)) });
}

function urlOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && (url.protocol === 'https:' || url.protocol === 'http:')) return url;
  throw new GatewayError(
    'ARGUMENT_INVALID',
    `--server or ${URL_VARIABLE} must be a URL such as https://gateway.example.com or http://127.0.0.1:9090, not ${JSON.stringify(text)}`,
  );
}

async function tokenOf(
  { options, env, issuerUrl, settingsNamed }: ConnectionOptions,
  serverNamed: boolean,
): Promise<string> {
  const file = options.get('token-file');
  const person = options.get('as');
  const given = file === undefined ? env[TOKEN_VARIABLE] : await contentOf(file, '--token-file');
  if (given !== undefined && given.trim() !== '' && person === undefined) return given.trim();
  // A gateway elsewhere does not know this machine's development issuer.
  if (issuerUrl !== undefined && (person !== undefined || settingsNamed || !serverNamed)) {
    return developmentToken(issuerUrl, person ?? DEVELOPER);
  }
  throw new GatewayError(
    'TOKEN_MISSING',
    `Say who you are: put a token into ${TOKEN_VARIABLE}, or into a file named by --token-file.`,
  );
}

async function developmentToken(issuerUrl: string, person: string): Promise<string> {
  const { status, text } = await exchange(
    new URL(`${issuerUrl}/token?user=${encodeURIComponent(person)}`),
    { method: 'GET', headers: {}, body: undefined, ca: undefined },
  );
  if (status === 200) return text.trim();
  throw new GatewayError('TOKEN_MISSING', `The development issuer gives no token: ${text.trim()}`);
}

async function contentOf(file: string, option: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const why = reasonOf(error);
    throw new GatewayError('ARGUMENT_INVALID', `${option} ${file} cannot be read: ${why}`, {
      cause: error,
    });
  }
}
