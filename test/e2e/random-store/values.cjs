/** The keyspaces of life.cjs: keys of every kind, and what a seed and a length mean as a value. */
const { bytesOf } = require('./model.cjs');

/** A key codec of the user's own that keeps order. */
const latin1 = {
  name: 'latin1',
  encode: (text) => Buffer.from(text, 'latin1'),
  decode: (bytes) => Buffer.from(bytes).toString('latin1'),
};

const encoded = {
  utf8: (key) => Buffer.from(key).toString('latin1'),
  bytes: (key) => Buffer.from(key).toString('latin1'),
  latin1: (key) => key,
  uint64(key) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(key));
    return bytes.toString('latin1');
  },
};

function keysOf(kind, dice) {
  const text = (alphabet, most) =>
    Array.from({ length: 1 + dice(most) }, () => alphabet[dice(alphabet.length)]).join('');
  const numbers = [0, 1, 255, 256, 2 ** 32, 2 ** 53 - 1, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];
  const one = {
    utf8: (i) =>
      [`a/${i}`, `b/${text('xyz/', 6)}`, text(['é', '€', '😀', '\0', 'z', '\ufffd'], 5)][i % 3],
    bytes: () => Buffer.from(Array.from({ length: 1 + dice(5) }, () => [0, 1, 127, 255][dice(4)])),
    latin1: (i) => text('\xff\x00ab', 4) + String(i),
    uint64: (i) => numbers[i] ?? dice(2000),
  }[kind];
  const keys = new Map();
  for (let i = 0; i < 40; ++i) {
    const user = one(i);
    keys.set(encoded[kind](user), user);
  }
  if (kind !== 'uint64') {
    const long = {
      utf8: '😀'.repeat(256),
      bytes: Buffer.alloc(1024, 255),
      latin1: 'q'.repeat(1024),
    };
    keys.set(encoded[kind](long[kind]), long[kind]);
  }
  return [...keys].map(([key, user]) => ({ user, encoded: key }));
}

const prefixes = {
  utf8: ['a/', 'b/', '', 'a/1', '😀'],
  bytes: [Buffer.from([255]), Buffer.from([0]), Buffer.from([255, 255])],
  latin1: ['\xff', 'a', '\xff\xff'],
};

/** Of one thread. */
function spacesOf(thread, dice) {
  const kinds = [
    ['utf8', 'structured'],
    ['bytes', 'bytes'],
    ['uint64', 'utf8'],
    ['latin1', 'json'],
  ];
  return kinds.map(([kind, value]) => ({
    name: `k${thread}/${kind}`,
    key: kind === 'latin1' ? latin1 : kind,
    value,
    keys: keysOf(kind, dice),
    prefixes: prefixes[kind],
    encode: encoded[kind],
  }));
}

function valueOf({ value }, seed, length) {
  if (value === 'bytes') return bytesOf(seed, length);
  const text = bytesOf(seed, length).toString('latin1');
  if (value === 'utf8') return text;
  return value === 'json'
    ? { seed, text }
    : new Map([
        [seed, text],
        ['n', length],
      ]);
}

/** Is it what was put? `put` undefined: nothing was. */
function sameValue({ value }, found, put) {
  if (put === undefined || found === undefined) return put === found;
  const expected = valueOf({ value }, put.seed, put.length);
  if (value === 'bytes') return expected.equals(found);
  if (value === 'utf8') return found === expected;
  if (value === 'json') return found.seed === put.seed && found.text === expected.text;
  return found.get(put.seed) === expected.get(put.seed) && found.get('n') === put.length;
}

module.exports = { spacesOf, valueOf, sameValue };
