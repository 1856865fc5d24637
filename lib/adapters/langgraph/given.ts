/** What a user gives to more than one of the adapters. */
import { typeError } from '../../errors';
import type { PoolCore } from '../../types';

export function mustBePool(pool: PoolCore, to: string): PoolCore {
  if (typeof pool?.keyspace === 'function' && typeof pool.commit === 'function') return pool;
  throw typeError(`new ${to}(pool): open the pool with holdfast.open()`);
}
