/**
 * What a storm of random use of the storage API (random-store.cjs) knows of one thread's part of a
 * pool: its commits in the order of their calls, and so the state after each of them. Nothing here
 * knows how the engine works.
 */
const { createHash } = require('node:crypto');

/** mulberry32 of a text: `dice(n)` is a whole number below n. */
function random(text) {
  let at = createHash('sha256').update(text).digest().readUInt32LE(0);
  return (limit) => {
    at = (at + 0x6d2b79f5) | 0;
    let t = Math.imul(at ^ (at >>> 15), 1 | at);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}

/** The bytes that `seed` and a length stand for. */
function bytesOf(seed, length) {
  const pattern = createHash('md5').update(String(seed)).digest().subarray(0, 13);
  return length === 0 ? Buffer.alloc(0) : Buffer.alloc(length, pattern);
}

/** Keys are their encoded bytes as latin1, which sorts as the bytes do. */
class State {
  constructor(spaces = new Map(), regions = new Map(), born = new Map()) {
    this.spaces = spaces;
    this.regions = regions;
    /** How often a region of that name was made or dropped. */
    this.born = born;
  }

  copy() {
    return new State(
      new Map([...this.spaces].map(([name, keys]) => [name, new Map(keys)])),
      new Map(this.regions),
      new Map(this.born),
    );
  }

  space(name) {
    if (!this.spaces.has(name)) this.spaces.set(name, new Map());
    return this.spaces.get(name);
  }

  /** Bytes of regions are never changed in place: copies share them. */
  apply(changes, epoch) {
    for (const [kind, name, at, seed, length] of changes) {
      if (kind === 'put') this.space(name).set(at, { seed, length, epoch });
      else if (kind === 'delete') this.space(name).delete(at);
      else if (kind === 'size') {
        const sized = Buffer.alloc(at);
        this.regions.get(name)?.copy(sized);
        if (at === 0 || !this.regions.has(name))
          this.born.set(name, (this.born.get(name) ?? 0) + 1);
        if (at === 0) this.regions.delete(name);
        else this.regions.set(name, sized);
      } else {
        const bytes = Buffer.from(this.regions.get(name));
        if (kind === 'write') bytesOf(seed, length).copy(bytes, at);
        else
          bytes.writeBigUInt64LE(BigInt.asUintN(64, bytes.readBigUInt64LE(at) + BigInt(seed)), at);
        this.regions.set(name, bytes);
      }
    }
  }

  holds(conditions) {
    return conditions.every(([kind, name, at, seed, length]) => {
      if (kind === 'cell')
        return this.regions.get(name).readBigUInt64LE(at) === BigInt.asUintN(64, BigInt(seed));
      const found = this.space(name).get(at);
      if (kind === 'absent') return found === undefined;
      if (kind === 'present') return found !== undefined;
      return found !== undefined && found.seed === seed && found.length === length;
    });
  }

  /** Equal where two states are. */
  digest() {
    const hash = createHash('sha1');
    for (const [name, keys] of [...this.spaces].sort(([a], [b]) => (a < b ? -1 : 1)))
      for (const [key, { seed, length }] of [...keys].sort(([a], [b]) => (a < b ? -1 : 1)))
        // Two seeds may stand for the same few bytes.
        hash.update(JSON.stringify([name, key, [...bytesOf(seed, Math.min(length, 13))], length]));
    for (const [name, bytes] of [...this.regions].sort(([a], [b]) => (a < b ? -1 : 1)))
      hash.update(`${name}:${bytes.length}`).update(bytes);
    return hash.digest('hex');
  }
}

const everySo = 32;

/** The commits of one thread, life after life. */
class History {
  constructor() {
    this.head = new State();
    /**
     * Made, in order: { epoch, changes }. Of those whose acknowledgement was cut off, no epoch, but
     * one that it is not above (`by`), and whether it can have been made without being seen.
     */
    this.made = [];
    this.bases = [{ before: 0, state: this.head.copy() }];
  }

  add(epoch, changes, unsure = {}) {
    this.head.apply(changes, epoch);
    this.made.push({ epoch, changes, ...unsure });
    if (this.made.length % everySo === 0)
      this.bases.push({ before: this.made.length, state: this.head.copy() });
  }

  /** After all commits up to that epoch. */
  at(epoch) {
    const until = this.behind(epoch);
    const base = this.bases.findLast(({ before }) => before <= until);
    const state = base.state.copy();
    for (let i = base.before; i < until; ++i) state.apply(this.made[i].changes, this.made[i].epoch);
    return state;
  }

  /** The place of the first commit above that epoch. */
  behind(epoch) {
    return this.made.findLastIndex((one) => (one.epoch ?? one.by) <= epoch) + 1;
  }

  /**
   * What a life left, as it was found to be when the pool was opened at epoch `by`: `taken` are the
   * places of those that were made, `unseen` of those that may have been and changed nothing.
   */
  take(lines, { taken, unseen, by }) {
    commitsOf(lines).forEach(({ epoch, changes }, i) => {
      if (taken.includes(i)) this.add(epoch, changes, { by });
      else if (unseen.includes(i)) this.add(undefined, changes, { by, unseen: true });
    });
  }

  /**
   * Goes on from what a life wrote down that ended in any way, where a fresh process found a state:
   * which commits were made. Acknowledged durable ones are there; of the others those that are
   * there are the first ones; one that was not answered may have been refused.
   */
  resume(lines, found, by) {
    const commits = commitsOf(lines);
    const digest = found.digest();
    const durable =
      commits.findLastIndex((one) => one.epoch !== undefined && (one.durable || one.settled)) + 1;
    let steps = 0;
    const search = (i, state, taken) => {
      if (++steps > 20_000) return undefined;
      if (i >= durable && state.digest() === digest) return taken;
      if (i === commits.length) return undefined;
      const { epoch, changes, conditions } = commits[i];
      if (epoch !== undefined || state.holds(conditions)) {
        const next = state.copy();
        next.apply(changes);
        const made = search(i + 1, next, [...taken, i]);
        if (made !== undefined || epoch !== undefined) return made;
      }
      return search(i + 1, state, taken);
    };
    // What all agree on needs no search.
    const state = this.head.copy();
    const sure = [];
    for (let i = 0; i < durable && commits[i].epoch !== undefined; ++i) {
      state.apply(commits[i].changes);
      sure.push(i);
    }
    const taken = search(sure.length, state, sure);
    if (taken === undefined)
      throw new Error(
        `no state that ${commits.length} commits can have left, ${durable} of them durable`,
      );
    const opened = { taken, unseen: this.unseen(commits, taken), by };
    this.take(lines, opened);
    return opened;
  }

  /** Not durable, and such that they leave all as it is: a deletion of what is not there. */
  unseen(commits, taken) {
    const state = this.head.copy();
    return [...commits.keys()].filter((i) => {
      const { changes, conditions } = commits[i];
      if (taken.includes(i)) state.apply(changes);
      if (taken.includes(i) || !state.holds(conditions)) return false;
      const after = state.copy();
      after.apply(changes);
      return after.digest() === state.digest();
    });
  }
}

/** Those that were not refused, in the order of their calls. */
function commitsOf(lines) {
  const commits = new Map();
  for (const line of lines) {
    if (line.begun !== undefined) commits.set(line.begun, { ...line });
    else if (line.made !== undefined) commits.get(line.made).epoch = line.epoch;
    else if (line.refused !== undefined) commits.delete(line.refused);
    else for (const one of commits.values()) one.settled ||= one.epoch !== undefined;
  }
  return [...commits.values()];
}

module.exports = { random, bytesOf, State, History };
