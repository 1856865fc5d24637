/**
 * Runs commands of the CLI on pools that it damages, many in one process, and says of each seed
 * what was wrong. Arguments: dist folder, scratch folder, first seed, count, pools to be damaged.
 * Says "at …" before each command, so that whoever reads along knows what a process that died was
 * doing.
 */
const fs = require('node:fs');
const path = require('node:path');

const [, , dist, folder, first, count, ...sources] = process.argv;
const { runProgram } = require(path.join(dist, 'cli/program.js'));

function randomFrom(seed) {
  let state = (seed * 2654435761 + 99) >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const say = (line) => fs.writeSync(1, `${line}\n`);

/** One command, with what it wrote. */
async function run(args) {
  const said = { out: '', err: '' };
  const [out, err] = [process.stdout.write, process.stderr.write];
  process.stdout.write = (text) => ((said.out += text), true);
  process.stderr.write = (text) => ((said.err += text), true);
  try {
    said.code = await runProgram(args);
  } finally {
    process.stdout.write = out;
    process.stderr.write = err;
  }
  return said;
}

/** Offsets of 64-byte lines that hold something: damage to holes would tell nothing. */
const used = new Map();
function usedLines(source) {
  if (!used.has(source)) {
    const bytes = fs.readFileSync(source);
    const lines = [];
    for (let at = 0; at < bytes.length; at += 64)
      if (bytes.subarray(at, at + 64).some((byte) => byte !== 0)) lines.push(at);
    used.set(source, { bytes, lines });
  }
  return used.get(source);
}

function damaged(source, random) {
  const { bytes, lines } = usedLines(source);
  const image = Buffer.from(bytes);
  const line = () => (random(4) === 0 ? random(256) * 64 : lines[random(lines.length)]);
  const noise = (at, size) => {
    for (let i = at; i < Math.min(at + size, image.length); i += 1) image[i] = random(256);
  };
  for (let n = 1 + random(random(3) === 0 ? 20 : 2); n > 0; n -= 1) {
    const at = line();
    switch (random(7)) {
      case 0:
        image[at + random(64)] ^= 1 << random(8);
        break;
      case 1:
        noise(at, 8);
        break;
      case 2:
        noise(at, 512);
        break;
      case 3:
        image.fill(0, at, at + 4096);
        break;
      case 4:
        image.copy(image, at, line(), line() + 512);
        break;
      case 5:
        image.fill(255, at, at + 64);
        break;
      default:
        return random(4) === 0 ? image.subarray(0, random(image.length)) : image;
    }
  }
  return image;
}

/** A file that never was a pool. */
function garbage(random) {
  const text = Buffer.alloc(random(3) === 0 ? random(64) : random(200_000));
  const kind = random(3);
  if (kind === 0) for (let i = 0; i < text.length; i += 1) text[i] = random(256);
  if (kind === 1) text.fill('SQLite format 3\0');
  return text;
}

const ALWAYS = [['check'], ['get', 'notes', 'note-0002']];
const SOMETIMES = [
  ['info'],
  ['ls'],
  ['ls', 'notes'],
  ['regions'],
  ['runs'],
  ['check', '--json'],
  ['info', '--json'],
  ['salvage'],
];

/** What is wrong about how a command ended; empty: nothing. */
function judge(args, { code, out, err }, isPool) {
  if (![0, 1, 3].includes(code)) return `ended with ${code}`;
  const json = args.includes('--json');
  if (json && out.trim() === '') return 'printed no JSON';
  const error = json ? JSON.parse(out).error : /^(ERR_\w+): (.+)/m.exec(err);
  if (code === 3) {
    const name = json ? error?.code : error?.[1];
    if (
      !/^ERR_HOLDFAST_(CORRUPT|NOT_A_POOL|NEWER_FORMAT|FAILED|IO|POOL_FULL|MEDIUM_UNAVAILABLE)$/.test(
        name ?? '',
      )
    )
      return `said ${err || out}`;
    if (name === 'ERR_HOLDFAST_CORRUPT' && !isPool)
      return `took a file that is no pool for a damaged one: ${err}`;
  }
  if (/^\s+at .*\(.*:\d+:\d+\)/m.test(err + out)) return `printed a stack: ${err}`;
  return '';
}

async function one(seed) {
  const random = randomFrom(seed);
  const isPool = random(10) !== 0;
  const source = sources[random(sources.length)];
  const image = isPool ? damaged(source, random) : garbage(random);
  const pool = path.join(folder, `pool-${seed}`);
  const saved = `${pool}-saved`;
  let sound = false;
  for (const [name, ...more] of [...ALWAYS, ...SOMETIMES.filter(() => random(3) === 0)]) {
    fs.writeFileSync(pool, image);
    const args = [name, pool, ...(name === 'salvage' ? [saved] : []), ...more];
    say(`at seed ${seed}: ${args.join(' ')}`);
    const ended = await run(args);
    // The first bytes of a pool may be gone: then nobody can know that it was one.
    const wrong = judge(args, ended, isPool);
    if (wrong) say(`WRONG seed ${seed}: ${args.join(' ')}: ${wrong}`);
    if (name === 'check' && more.length === 0) sound = ended.code === 0;
    if (name === 'get' && ended.code === 0 && !/"?i"?: 2\b/.test(ended.out))
      say(`WRONG seed ${seed}: get gave ${ended.out}`);
    if (name === 'get' && sound && ended.code !== 0)
      say(`WRONG seed ${seed}: check finds nothing, get ends with ${ended.code}: ${ended.err}`);
  }
  for (const file of [pool, saved, `${pool}.readers`]) fs.rmSync(file, { force: true });
}

(async () => {
  for (let seed = Number(first); seed < Number(first) + Number(count); seed += 1) await one(seed);
  say('DONE');
})();
