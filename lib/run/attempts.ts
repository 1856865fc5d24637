/**
 * The attempts that one life makes at one call of a tool, and what is called within each.
 *
 * An attempt that threw, or was cut off, may go on all the same: a branch beside the one that
 * failed, a function that does not listen to its signal. Once the next attempt has begun, that one
 * does the same calls, so of the earlier one nothing is recorded any more, as if its process had
 * died. Only how an effect of it ended that was under way then is told, when no attempt can ask for
 * it any more and none has settled it.
 */
import { HoldfastError } from '../errors';
import { innermost, inside, scopeWithin, type Driver, type Scope } from './identity';

export class Attempts {
  #last: Scope | undefined;
  #ended: PromiseWithEnd | undefined;

  constructor(
    private readonly driver: Driver,
    private readonly identity: string,
  ) {}

  make<R>(fn: () => R): R {
    this.#last = scopeWithin(this.driver, this.identity);
    return inside(this.#last, fn);
  }

  /** Before a further one is begun. */
  leave(): void {
    if (this.#last) this.#last.over = (this.#ended ??= promiseWithEnd()).promise;
  }

  /** There will be none. */
  end(): void {
    this.#ended?.end();
  }
}

/** Is this called within an attempt behind which another was begun? */
export function isOver(driver: Driver): boolean {
  for (let scope = innermost(); scope; scope = scope.outer)
    if (scope.over && scope.driver === driver) return true;
  return false;
}

/** Until no attempt can ask for what was called within the one in which this is called. */
export async function allOver(driver: Driver): Promise<void> {
  for (let scope = innermost(); scope; scope = scope.outer)
    if (scope.driver === driver) await scope.over;
}

export function overError(run: string, what: string): HoldfastError {
  return new HoldfastError(
    'ERR_HOLDFAST_ABORTED',
    `run ${JSON.stringify(run)}: ${what} belongs to an attempt of a tool that has ended, and another attempt was begun, ` +
      "which does it anew. Nothing was recorded. Let a tool end with its context's `signal`",
  );
}

interface PromiseWithEnd {
  readonly promise: Promise<void>;
  readonly end: () => void;
}

function promiseWithEnd(): PromiseWithEnd {
  let end!: () => void;
  const promise = new Promise<void>((resolve) => (end = resolve));
  return { promise, end };
}
