/**
 * Asynchronous commits: tickets become promises, and all commits of one turn of the event loop
 * share a barrier.
 *
 * A commit is queued at once and handed over when the turn's callbacks and promises have run: a
 * microtask that asks for a next tick runs after all of them. A commit that is alone there is done
 * on this thread and costs no hand-over. Completions come in the order of the tickets, so the
 * promises wait in a plain queue.
 *
 * Where a barrier is a fence, queueing costs several commits. So there a commit is made in the call
 * itself while commits come one by one: the last turn that was handed over had one, and nothing is
 * on its way. Once two are seen in one turn they are queued again, that turn's next ones and those
 * of the turns after it.
 *
 * A commit with a signal can be taken back only while it is held here; those behind it in the same
 * turn are held too, so that commits happen in the order they were made.
 */
import { onAbort } from './abort';
import { abortedError, closedError, HoldfastError } from './errors';
import { native as addon, offWake, onWake } from './native-binding';
import type { Encoded, NativeBatch, NativePool } from './native-binding';
import type { CommitReceipt } from './types';

interface Waiting {
  ticket: number;
  readonly eventual: boolean;
  readonly resolve: (receipt: CommitReceipt) => void;
  readonly reject: (error: Error) => void;
}

/** Held back until the turn ends. `batch` is null once it was taken back. */
interface Held {
  batch: NativeBatch | null;
  readonly waiting: Waiting;
  readonly release: () => void;
}

type MakeReceipt = (epoch: number, eventual: boolean) => CommitReceipt;

/**
 * For who is asynchronous: thrown is rejected, and what was made in the call is no promise any
 * more.
 */
type Outcome = CommitReceipt | Promise<CommitReceipt>;

const { nextTick, setImmediate } = addon;

/** Pairs of ticket and epoch; filled and emptied within one call. */
const completions = new Float64Array(2 * 512);

/**
 * What is to be a microtask is made one through this: queueMicrotask() makes an asynchronous
 * resource each time.
 */
const done = Promise.resolve();

/**
 * So many turns may end, or twice as many commits be made in their calls, without the event loop's
 * other phases getting theirs: tens of microseconds each where a barrier is quick, up to a
 * millisecond where it is a disk's.
 */
const turnsInARow = { quick: 32, slow: 4 };

/**
 * One of so many commits that are made in their calls looks whether it is alone in its turn: the
 * look costs half a commit.
 */
const looksEvery = 8;

export class Committer {
  readonly #native: NativePool;
  readonly #receipt: MakeReceipt;
  readonly #listener = (): void => this.drain();
  readonly #endTurn = (): void => this.flush();
  readonly #endMicrotasks = (): void => nextTick(this.#endTurn);
  readonly #endLook = (): void => {
    this.#looking = false;
  };
  readonly #quick: boolean;
  readonly #mostInARow: number;
  #queue: Waiting[] = [];
  #head = 0;
  #held: Held[] = [];
  #scheduled = false;
  /**
   * Since the event loop's other phases last had their turn; a commit made in its call counts one,
   * a turn two.
   */
  #inARow = 0;
  /** The last turn that was handed over had one commit; those since were made in their calls. */
  #oneByOne = false;
  /**
   * A commit that was made in its call has looked, and the microtasks that waited then have not all
   * run.
   */
  #looking = false;
  #idle: (() => void)[] = [];

  /** `quick`: a barrier costs less than to queue for it. */
  constructor(native: NativePool, receipt: MakeReceipt, quick: boolean) {
    this.#native = native;
    this.#quick = quick;
    this.#mostInARow = 2 * (quick ? turnsInARow.quick : turnsInARow.slow);
    this.#receipt = receipt;
    onWake(this.#listener);
  }

  put(
    keyspace: number,
    key: Encoded,
    value: Encoded,
    eventual: boolean,
    signal: AbortSignal | undefined,
  ): Outcome {
    if (this.#mustHold(signal)) {
      const batch = new addon.NativeBatch();
      batch.put(keyspace, key, value);
      return this.#hold(batch, eventual, signal);
    }
    if (this.#inTheCall())
      return this.#receipt(this.#native.putSync(keyspace, key, value, eventual), eventual);
    return this.#wait(this.#native.put(keyspace, key, value, eventual), eventual);
  }

  delete(
    keyspace: number,
    key: Encoded,
    eventual: boolean,
    signal: AbortSignal | undefined,
  ): Outcome {
    if (this.#mustHold(signal)) {
      const batch = new addon.NativeBatch();
      batch.delete(keyspace, key);
      return this.#hold(batch, eventual, signal);
    }
    if (this.#inTheCall())
      return this.#receipt(this.#native.deleteSync(keyspace, key, undefined, eventual), eventual);
    return this.#wait(this.#native.delete(keyspace, key, undefined, eventual), eventual);
  }

  /** Takes the batch; the caller must not use it again. */
  commit(batch: NativeBatch, eventual: boolean, signal: AbortSignal | undefined): Outcome {
    if (this.#mustHold(signal)) return this.#hold(batch, eventual, signal);
    if (this.#inTheCall()) return this.#receipt(this.#native.commitSync(batch, eventual), eventual);
    return this.#wait(this.#native.submit(batch, eventual), eventual);
  }

  /** Hands over everything that was queued. Before a synchronous commit too: order is kept. */
  flush(): void {
    this.#scheduled = false;
    this.#submitHeld();
    if (this.#head === this.#queue.length) return;
    this.#oneByOne = this.#quick && this.#queue.length - this.#head === 1;
    this.#take((into, failures) => this.#native.flush(into, failures));
  }

  drain(): void {
    if (this.#head === this.#queue.length) return;
    this.#take((into, failures) => this.#native.drain(into, failures));
  }

  get pending(): boolean {
    return this.#head !== this.#queue.length || this.#held.length > 0;
  }

  /** Resolves when no commit is on its way. */
  idle(): Promise<void> {
    return this.pending ? new Promise((resolve) => this.#idle.push(resolve)) : Promise.resolve();
  }

  /** After the pool has closed: nothing may stay waiting. */
  end(): void {
    this.drain();
    offWake(this.#listener);
    const left = this.#queue.slice(this.#head);
    this.#queue = [];
    this.#head = 0;
    for (const waiting of left) waiting.reject(closedError());
    this.#tellIdle();
  }

  /** Is a commit made now kept here until the turn ends? */
  holds(signal: AbortSignal | undefined): boolean {
    return signal !== undefined || this.#held.length > 0;
  }

  #mustHold(signal: AbortSignal | undefined): boolean {
    if (signal?.aborted) throw abortedError(signal, 'The commit');
    return this.holds(signal);
  }

  /**
   * May a commit be made here and now? It is alone in its turn, as far as is known, and the event
   * loop has had its turn.
   */
  #inTheCall(): boolean {
    if (!this.#oneByOne || this.pending || this.#inARow + 1 >= this.#mostInARow) return false;
    if (this.#looking) {
      this.#oneByOne = false;
      return false;
    }
    if (++this.#inARow % looksEvery === 0) {
      this.#looking = true;
      void done.then(this.#endLook);
    }
    return true;
  }

  #wait(ticket: number, eventual: boolean): Promise<CommitReceipt> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ ticket, eventual, resolve, reject });
      this.#schedule();
    });
  }

  #hold(
    batch: NativeBatch,
    eventual: boolean,
    signal: AbortSignal | undefined,
  ): Promise<CommitReceipt> {
    return new Promise((resolve, reject) => {
      const held: Held = {
        batch,
        waiting: { ticket: 0, eventual, resolve, reject },
        release: onAbort(signal, () => {
          held.batch = null;
          reject(abortedError(signal!, 'The commit'));
        }),
      };
      this.#held.push(held);
      this.#schedule();
    });
  }

  #submitHeld(): void {
    if (this.#held.length === 0) return;
    const held = this.#held;
    this.#held = [];
    for (const { batch, waiting, release } of held) {
      release();
      if (batch === null) continue;
      try {
        waiting.ticket = this.#native.submit(batch, waiting.eventual);
        this.#queue.push(waiting);
      } catch (error) {
        waiting.reject(error as Error);
      }
    }
    if (this.#head === this.#queue.length) this.#tellIdle();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#inARow += 2;
    if (this.#inARow < this.#mostInARow) void done.then(this.#endMicrotasks);
    else {
      this.#inARow = 0;
      setImmediate(this.#endTurn);
    }
  }

  #take(fetch: (into: Float64Array, failures: Error[]) => number): void {
    let taken: number;
    do {
      const failures: Error[] = [];
      let failed = 0;
      taken = fetch(completions, failures);
      for (let i = 0; i < taken; ++i) {
        const waiting = this.#queue[this.#head++]!;
        const epoch = completions[2 * i + 1]!;
        if (waiting.ticket !== completions[2 * i]) waiting.reject(outOfOrder());
        else if (epoch < 0) waiting.reject(failures[failed++]!);
        else waiting.resolve(this.#receipt(epoch, waiting.eventual));
      }
    } while (2 * taken === completions.length);
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
      this.#tellIdle();
    }
  }

  #tellIdle(): void {
    if (this.#idle.length === 0 || this.pending) return;
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }
}

function outOfOrder(): HoldfastError {
  return new HoldfastError(
    'ERR_HOLDFAST_FAILED',
    'The outcome of a commit came out of order; reopen the pool, and report this defect of holdfast',
  );
}
