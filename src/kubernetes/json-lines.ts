/** Cuts a stream of bytes into its lines; a last line without an end is no line: it was cut off. */
const LARGEST_LINE_BYTES = 16 * 1024 * 1024;

export async function* jsonLines(source: AsyncIterable<unknown>): AsyncGenerator<string, void> {
  let rest: Buffer[] = [];
  let restBytes = 0;
  for await (const piece of source) {
    let chunk = Buffer.isBuffer(piece) ? piece : Buffer.from(String(piece));
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10)) {
      const line = Buffer.concat([...rest, chunk.subarray(0, end)]).toString('utf8');
      rest = [];
      restBytes = 0;
      chunk = chunk.subarray(end + 1);
      if (line !== '') yield line;
    }
    if (chunk.length === 0) continue;
    rest.push(chunk);
    restBytes += chunk.length;
    if (restBytes > LARGEST_LINE_BYTES) throw new Error('a line is too long');
  }
}
