import test from 'ava';
import * as fc from 'fast-check';
import { headerBlock } from '../../../src/lib/http2/header-block.js';
import { CompressionError, HpackDecoder } from '../../../src/lib/http2/hpack-decoder.js';

function decoding(decoder: HpackDecoder, block: Buffer): string[] {
  const fields: string[] = [];
  decoder.decode(block, (name, value) => fields.push(`${name}: ${value}`));
  return fields;
}

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

/** The examples of RFC 7541, appendix C, each a connection; 3fe101 sets the table to 256 octets. */
const connections: Record<
  string,
  readonly (readonly [block: string, fields: readonly string[]])[]
> = {
  'C.2.1 literal with indexing': [
    ['400a637573746f6d2d6b65790d637573746f6d2d686561646572', ['custom-key: custom-header']],
  ],
  'C.2.2 literal without indexing': [['040c2f73616d706c652f70617468', [':path: /sample/path']]],
  'C.2.3 literal never indexed': [['100870617373776f726406736563726574', ['password: secret']]],
  'C.2.4 indexed': [['82', [':method: GET']]],
  'C.3 requests without Huffman coding': [
    [
      '828684410f7777772e6578616d706c652e636f6d',
      [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'],
    ],
    [
      '828684be58086e6f2d6361636865',
      [
        ':method: GET',
        ':scheme: http',
        ':path: /',
        ':authority: www.example.com',
        'cache-control: no-cache',
      ],
    ],
    [
      '828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565',
      [
        ':method: GET',
        ':scheme: https',
        ':path: /index.html',
        ':authority: www.example.com',
        'custom-key: custom-value',
      ],
    ],
  ],
  'C.4 requests with Huffman coding': [
    [
      '828684418cf1e3c2e5f23a6ba0ab90f4ff',
      [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'],
    ],
    [
      '828684be5886a8eb10649cbf',
      [
        ':method: GET',
        ':scheme: http',
        ':path: /',
        ':authority: www.example.com',
        'cache-control: no-cache',
      ],
    ],
    [
      '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf',
      [
        ':method: GET',
        ':scheme: https',
        ':path: /index.html',
        ':authority: www.example.com',
        'custom-key: custom-value',
      ],
    ],
  ],
  'C.6 responses with Huffman coding, fields are evicted': [
    [
      '3fe101 488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3',
      [
        ':status: 302',
        'cache-control: private',
        'date: Mon, 21 Oct 2013 20:13:21 GMT',
        'location: https://www.example.com',
      ],
    ],
    [
      '4883640effc1c0bf',
      [
        ':status: 307',
        'cache-control: private',
        'date: Mon, 21 Oct 2013 20:13:21 GMT',
        'location: https://www.example.com',
      ],
    ],
    [
      '88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007',
      [
        ':status: 200',
        'cache-control: private',
        'date: Mon, 21 Oct 2013 20:13:22 GMT',
        'location: https://www.example.com',
        'content-encoding: gzip',
        'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
      ],
    ],
  ],
};

for (const [name, blocks] of Object.entries(connections)) {
  test(`an example of RFC 7541 is read as it says: ${name}`, (t) => {
    const decoder = new HpackDecoder();
    for (const [block, fields] of blocks) t.deepEqual(decoding(decoder, hex(block)), fields);
  });
}

const broken: Record<string, string> = {
  'index 0': '80',
  'an index beyond the table': 'be',
  'a number without end': 'ffffffffffff7f',
  'a cut number': 'ff',
  'a cut string': '400a6375',
  'a Huffman string that holds EOS': '008 4ffffffff 00'.replaceAll(' ', ''),
  'Huffman padding of a whole octet': '0082 1fff 00'.replaceAll(' ', ''),
  'Huffman padding of zeros': '0081 18 00'.replaceAll(' ', ''),
  'a table size after a field': '8220',
  'a table larger than agreed': '3fe21f',
};

for (const [what, block] of Object.entries(broken)) {
  test(`a block is refused: ${what}`, (t) => {
    t.throws(() => decoding(new HpackDecoder(), hex(block)), { instanceOf: CompressionError });
  });
}

test('what headerBlock writes is read back', (t) => {
  const text = fc.string({ unit: 'grapheme-ascii', maxLength: 300 });
  fc.assert(
    fc.property(fc.dictionary(text, text), (fields) => {
      const read = decoding(new HpackDecoder(), headerBlock(404, fields));
      t.deepEqual(read, [
        ':status: 404',
        ...Object.entries(fields).map(([name, value]) => `${name}: ${value}`),
      ]);
    }),
  );
});

test('no block makes the decoder do anything but read or refuse it', (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 }), (blocks) => {
      const decoder = new HpackDecoder();
      for (const block of blocks) {
        try {
          decoding(decoder, Buffer.from(block));
        } catch (error) {
          t.true(error instanceof CompressionError);
          return;
        }
      }
    }),
    { numRuns: 2000 },
  );
  t.pass();
});
