/**
 * What has a time to live, in the store and in the cache: it is not seen any more once that is
 * over, and removed when somebody sweeps.
 */
import { structured } from '../../codecs';
import type { Keyspace, PoolCore } from '../../types';
import type { Texts } from './keys';
import { changeUnchanged, type Stored } from './unchanged';

export interface Mortal {
  /** Milliseconds since 1970, by the system's clock. */
  readonly expiresAt?: number;
}

const sweptTogether = 256;

export function isOver({ expiresAt }: Mortal, now: number): boolean {
  // A time that is no number is over.
  return expiresAt !== undefined && !(now < expiresAt);
}

/**
 * Removes all of a keyspace that have outlived their time; gives their number. A crash leaves some
 * of them.
 */
export async function sweep(pool: PoolCore, stored: Keyspace<Texts, Uint8Array>): Promise<number> {
  const now = Date.now();
  const remove = (items: readonly Stored[]): Promise<number> =>
    changeUnchanged(pool, stored, items, (batch, { texts }) => batch.delete(stored, texts));
  let swept = 0;
  let over: Stored[] = [];
  for (const [texts, bytes] of stored.range()) {
    if (!isOver(structured.decode(bytes) as Mortal, now)) continue;
    if (over.push({ texts, bytes }) < sweptTogether) continue;
    swept += await remove(over);
    over = [];
  }
  return swept + (await remove(over));
}
