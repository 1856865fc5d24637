// How an ordinary run of the layers ends in time on a machine of any speed. How slow this one is
// follows from the layers that have ended: how long they took, over their `usual` seconds
// (layers.mjs).

const SHORT = 3; // what a layer without `usual` takes
const LESS = 4; // one in so many of what is counted is tried when time is short

export class Budget {
  #running = new Map();
  #took = 0;
  #usually = 0;

  /**
   * `layers`: all that will be begun; `seconds` from `beganAt` on, by `now()`, which is in seconds.
   */
  constructor(layers, { seconds, beganAt, lanes, now = () => Date.now() / 1000 }) {
    Object.assign(this, { seconds, beganAt, lanes, now });
    this.always = new Set(layers.filter((layer) => !layer.needs));
  }

  begin(layer) {
    this.#running.set(layer, this.now());
  }

  end(layer) {
    if (layer.usual) {
      this.#took += this.now() - this.#running.get(layer);
      this.#usually += layer.usual;
    }
    this.#running.delete(layer);
    this.always.delete(layer);
  }

  get used() {
    return this.now() - this.beganAt;
  }

  get left() {
    return this.seconds - this.used;
  }

  /** 2: layers take twice as long as usual. A quicker machine is not relied upon. */
  get slowness() {
    return this.#usually > 0 ? Math.max(1, this.#took / this.#usually) : 1;
  }

  /** Is there time for a layer that needs so many seconds usually? */
  hasTimeFor(needs) {
    return needs * this.slowness <= this.left;
  }

  /** Of what the layers that always run count in thousands, one in so many is tried from now on. */
  get share() {
    let work = 0;
    for (const layer of this.always) {
      const done = this.#running.has(layer) ? this.now() - this.#running.get(layer) : 0;
      work += Math.max(0, (layer.usual ?? SHORT) * this.slowness - done);
    }
    return work / this.lanes > this.left ? LESS : 1;
  }
}
