// What the parent of a kill storm knows of one pool, and whether what a fresh process found in it
// can be.
//
// The property: every commit acknowledged as durable is there; of the rest each is there or not,
// whole; of the acknowledged ones a prefix by epoch, of each thread's a prefix in the order it made
// them; nothing else is there.

export class Model {
  /** What the last process that opened the pool found: key -> "id:length". */
  state = new Map();
  commits = new Map();

  /** A line of the child's: what it begins and what was acknowledged. */
  hear(line) {
    const [kind, id, third, said] = line.split(' ');
    if (kind === 'B') {
      const [, thread, number] = id.split('.').map(Number);
      this.commits.set(id, {
        id,
        thread,
        number,
        durable: third === 'd',
        epoch: undefined,
        operations: parse(id, said),
      });
    } else if (kind === 'A') {
      this.commits.get(id).epoch = Number(third);
    } else if (kind === 'F') {
      this.commits.delete(id);
    }
  }

  /** Compares with what was found; returns what is wrong. Then goes on from there. */
  compare(found) {
    const wrong = [];
    const here = [...this.commits.values()].filter(({ id }) => found.has(`c/${id}`));
    const isHere = new Set(here);
    this.#order(isHere, wrong);
    const possible = this.#possible(here);
    for (const [key, value] of found) {
      const may = possible.get(key);
      if (!may?.has(value))
        wrong.push(
          `${key} is ${value}, may be ${
            may
              ? [...may]
                  .slice(0, 4)
                  .map((v) => v ?? 'absent')
                  .join(' or ')
              : 'only absent'
          }`,
        );
    }
    for (const [key, may] of possible) {
      if (!found.has(key) && !may.has(undefined))
        wrong.push(`${key} is absent, must be ${[...may].slice(0, 4).join(' or ')}`);
    }
    this.state = found;
    this.commits = new Map();
    return wrong;
  }

  #order(isHere, wrong) {
    const acknowledged = [...this.commits.values()]
      .filter(({ epoch }) => epoch !== undefined)
      .sort((a, b) => a.epoch - b.epoch);
    let missing;
    for (const commit of acknowledged) {
      if (!isHere.has(commit)) {
        missing ??= commit;
        if (commit.durable)
          wrong.push(
            `commit ${commit.id} was acknowledged as durable (epoch ${commit.epoch}) and is lost`,
          );
      } else if (missing) {
        wrong.push(
          `commit ${commit.id} (epoch ${commit.epoch}) is there, ${missing.id} (epoch ${missing.epoch}) is not`,
        );
      }
    }
    const first = new Map();
    for (const commit of this.commits.values()) {
      if (!isHere.has(commit))
        first.set(commit.thread, Math.min(first.get(commit.thread) ?? Infinity, commit.number));
    }
    for (const commit of isHere) {
      if (commit.number > (first.get(commit.thread) ?? Infinity))
        wrong.push(`commit ${commit.id} is there, an earlier one of its thread is not`);
    }
  }

  /**
   * key -> the values it may have (undefined: absent). Of commits that are there but whose epoch
   * nobody has heard, any may have come last, and the newest acknowledged one may have come after
   * them; what stood there before cannot remain.
   */
  #possible(here) {
    const possible = new Map();
    for (const [key, value] of this.state) possible.set(key, new Set([value]));
    const known = here.filter(({ epoch }) => epoch !== undefined).sort((a, b) => a.epoch - b.epoch);
    const written = new Set();
    for (const { operations } of known) {
      for (const [key, value] of operations) {
        possible.set(key, new Set([value]));
        written.add(key);
      }
    }
    for (const { epoch, operations } of here) {
      if (epoch !== undefined) continue;
      for (const [key, value] of operations) {
        if (!written.has(key)) possible.set(key, new Set());
        written.add(key);
        possible.get(key).add(value);
      }
    }
    return possible;
  }
}

function parse(id, said) {
  const operations = new Map();
  for (const one of said.split(',')) {
    if (one.startsWith('-')) operations.set(one.slice(1), undefined);
    else {
      const at = one.lastIndexOf('=');
      operations.set(one.slice(0, at), `${id}:${one.slice(at + 1)}`);
    }
  }
  return operations;
}
