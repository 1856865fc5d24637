/** What a user gives to more than one of the adapters. */
import { typeError } from '../../errors';
import { shown } from '../../options';
import type { PoolCore } from '../../types';
import type { Serializer } from './types';

export function mustBePool(pool: PoolCore, to: string): PoolCore {
  if (typeof pool?.keyspace === 'function' && typeof pool.commit === 'function') return pool;
  throw typeError(`${to}: open the pool with holdfast.open()`);
}

export function serializerOption(serde: Serializer | undefined): Serializer | undefined {
  if (
    serde === undefined ||
    (typeof serde?.dumpsTyped === 'function' && typeof serde.loadsTyped === 'function')
  )
    return serde;
  throw typeError(`serde is a serializer, with dumpsTyped and loadsTyped, not ${shown(serde)}`);
}
