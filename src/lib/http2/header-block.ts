/** Writes header blocks for responses: few fields, known beforehand, so without a table of their own. */

const STATUS_INDEX = 8;
/** Values of `:status` that have an entry of their own in the static table. */
const STATUS_ENTRIES = new Map([
  [200, 8],
  [204, 9],
  [206, 10],
  [304, 11],
  [400, 12],
  [404, 13],
  [500, 14],
]);

/** Fields as HPACK literals without indexing (RFC 7541, section 6.2.2); values are ASCII. */
export function headerBlock(
  httpStatus: number | undefined,
  fields: Readonly<Record<string, string>>,
): Buffer {
  const parts: Buffer[] = [];
  if (httpStatus !== undefined) {
    const entry = STATUS_ENTRIES.get(httpStatus);
    parts.push(
      entry === undefined
        ? Buffer.concat([Buffer.from([STATUS_INDEX]), string(String(httpStatus))])
        : Buffer.from([0x80 | entry]),
    );
  }
  for (const [name, value] of Object.entries(fields)) {
    parts.push(Buffer.from([0]), string(name), string(value));
  }
  return Buffer.concat(parts);
}

function string(text: string): Buffer {
  const octets = Buffer.from(text, 'latin1');
  return Buffer.concat([Buffer.from(integer(octets.length)), octets]);
}

/** With a prefix of 7 bits (RFC 7541, section 5.1). */
function integer(value: number): number[] {
  if (value < 127) return [value];
  const octets = [127];
  let rest = value - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) octets.push((rest % 128) | 0x80);
  octets.push(rest);
  return octets;
}
