// How much of the time that a process group takes is its own: what it spent on a processor or
// asleep, and not what it waited for a processor or a disk that others had. A limit on that means
// the same on a busy machine as on an idle one, for what computes for ever and for what waits for
// ever.
//
// Looked at every half second. Nobody's clock is changed, and nothing is left behind.
import { readFileSync, readdirSync } from 'node:fs';

const TICKS = 100; // in a second, of processor time as Linux tells it
const LONGEST = 1; // who looks so much later was kept waiting itself, and cannot know

/** What `/proc` says behind the name; undefined: it is gone. */
function statOf(file) {
  try {
    const text = readFileSync(file, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

/** The processes of a group: processor seconds so far, and whether a thread asks for more. */
export function lookAt(group) {
  let ticks = 0;
  let asks = false;
  for (const pid of readdirSync('/proc').filter((name) => Number(name) > 0)) {
    const fields = statOf(`/proc/${pid}/stat`);
    if (Number(fields?.[2]) !== group) continue;
    for (const each of fields.slice(11, 15)) ticks += Number(each); // its children's that ended too
    asks ||= threadsOf(pid).some((thread) => /[RD]/.test(statOf(thread)?.[0] ?? ''));
  }
  return { seconds: ticks / TICKS, asks };
}

function threadsOf(pid) {
  try {
    return readdirSync(`/proc/${pid}/task`).map((id) => `/proc/${pid}/task/${id}/stat`);
  } catch {
    return [];
  }
}

export class OwnTime {
  #before = 0;
  #at;
  seconds = 0;

  /** `look`: as lookAt() of the group; `now` is in seconds. */
  constructor(look, now = () => performance.now() / 1000) {
    Object.assign(this, { look, now });
    this.began = this.#at = now();
  }

  /** All of the time since the last look where it asked for nothing, else what it got. */
  count() {
    const { seconds, asks } = this.look();
    const passed = Math.min(this.now() - this.#at, LONGEST);
    const got = Math.max(0, seconds - this.#before);
    this.#before = seconds;
    this.#at = this.now();
    this.seconds += asks ? Math.min(passed, got) : passed;
  }

  /** Of anybody. */
  get passed() {
    return this.now() - this.began;
  }
}
