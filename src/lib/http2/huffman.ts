/** The Huffman code of HPACK (RFC 7541, section 5.2 and appendix B). */

/** Bits of each octet's code; the last one is EOS. */
const CODE_LENGTHS = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
  28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5,
  6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6,
  7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23,
  23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22,
  22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22,
  23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27,
  27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25,
  24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];
const EOS = 256;
const LONGEST_CODE = 30;
/** Padding is shorter than this, and the beginning of EOS: all ones. */
const PADDING_LIMIT = 8;

/**
 * Two entries for each inner node of the code's tree, by the next bit: the index of the next node's
 * entries, or, below zero, the complement of the octet.
 */
const tree = buildTree();

/** The octets of a Huffman-coded string; undefined if it is none. The result is valid until the next call. */
export function decodeHuffman(bytes: Buffer, start: number, end: number): Buffer | undefined {
  // The shortest code has 5 bits.
  const most = Math.ceil(((end - start) * 8) / 5);
  if (scratch.length < most) scratch = Buffer.allocUnsafe(most);
  let length = 0;
  let node = 0;
  let pending = 0;
  let ones = true;
  for (let i = start; i < end; i++) {
    const octet = bytes[i] ?? 0;
    for (let shift = 7; shift >= 0; shift--) {
      const bit = (octet >> shift) & 1;
      const next = tree[node + bit] ?? 0;
      if (next >= 0) {
        node = next;
        pending++;
        ones &&= bit === 1;
      } else {
        const symbol = ~next;
        if (symbol === EOS) return undefined;
        scratch[length++] = symbol;
        node = 0;
        pending = 0;
        ones = true;
      }
    }
  }
  return pending < PADDING_LIMIT && ones ? scratch.subarray(0, length) : undefined;
}

let scratch = Buffer.allocUnsafe(4096);

/** The code is canonical: codes of one length are consecutive, in the order of their octets. */
function buildTree(): Int16Array {
  const nodes = [0, 0];
  let code = 0;
  for (let length = 1; length <= LONGEST_CODE; length++) {
    for (const [symbol, symbolLength] of CODE_LENGTHS.entries()) {
      if (symbolLength !== length) continue;
      insert(nodes, code, length, symbol);
      code++;
    }
    code *= 2;
  }
  return Int16Array.from(nodes);
}

function insert(nodes: number[], code: number, length: number, symbol: number): void {
  let node = 0;
  for (let shift = length - 1; shift > 0; shift--) {
    const at = node + ((code >>> shift) & 1);
    if (!nodes[at]) {
      nodes[at] = nodes.length;
      nodes.push(0, 0);
    }
    node = nodes[at] ?? 0;
  }
  nodes[node + (code & 1)] = ~symbol;
}
