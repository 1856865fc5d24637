/**
 * Pools that are open when the process, or a worker thread, exits are closed, and with that what
 * waits is committed. Nothing asynchronous runs any more then, so they are closed on this thread.
 *
 * It is the last listener of `exit`: whoever else listens, also if added later, can still commit
 * (`…Sync`) and read. Only one that is added in the very turn in which the process exits finds its
 * pools closed.
 */
interface Closable {
  closeSync(): void;
}

const open = new Set<Closable>();

/** Known of the listener of every copy of this package: none of them has to come behind another. */
const closesPools = Symbol.for('holdfast.closesPools');

/** Whoever else wants to be last gets his way in the end, and no turn goes on for ever. */
let movesLeft = 1000;

/** One that has failed does not keep the others' commits from being completed. */
function closeAll(): void {
  const failures: unknown[] = [];
  for (const pool of open) {
    try {
      pool.closeSync();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}

Object.defineProperty(closeAll, closesPools, { value: true });

function stayLast(event: string | symbol, listener: object): void {
  if (event !== 'exit' || closesPools in listener || movesLeft-- <= 0) return;
  process.nextTick(() => {
    if (open.size > 0) process.off('exit', closeAll).on('exit', closeAll);
  });
}

export function closeAtExit(pool: Closable): void {
  if (open.size === 0) process.on('exit', closeAll).on('newListener', stayLast);
  open.add(pool);
}

/** It is closed. */
export function forgetAtExit(pool: Closable): void {
  if (open.delete(pool) && open.size === 0)
    process.off('exit', closeAll).off('newListener', stayLast);
}
