/**
 * What a user is told when LangGraph's own data cannot be stored. LangGraph saves a whole state at
 * once, under ids of its caller's: an error says which channel it is, and which ids. It puts the
 * items of a whole turn at once, so an error says which item it is.
 */
import { compare } from '../../checkpoint/index';
import { type ArgumentError, HoldfastError, rangeError, typeError } from '../../errors';
import { shown } from '../../options';
import { comparing } from './values';

/** What was to be stored. */
export interface Refused {
  /** As the beginning of a sentence: `Saving a checkpoint`. */
  readonly doing: string;
  readonly ids: readonly string[];
  /** By what they are called: `Channel "messages"`. */
  readonly values: () => (readonly [name: string, value: unknown])[];
}

/** Does it, and says more of an error than whoever is far from LangGraph can. */
export async function explaining<R>(refused: Refused, work: () => Promise<R>): Promise<R> {
  try {
    return await work();
  } catch (error) {
    throw explained(error, refused);
  }
}

export function named([channel, value]: readonly [channel: string, value: unknown]) {
  return [`Channel ${JSON.stringify(channel)}`, value] as const;
}

function explained(error: unknown, { doing, ids, values }: Refused): unknown {
  const { code } = error as { code?: unknown };
  if (code === 'ERR_HOLDFAST_KEY_SIZE') {
    const bytes = ids.reduce((sum, id) => sum + Buffer.byteLength(id), 0);
    return rangeError(
      `${doing}: the ids of its thread, namespace, checkpoint and task have ${bytes} bytes together; at most 1,000 may be used, so take a hash`,
      code,
    );
  }
  if (code !== 'ERR_HOLDFAST_CODEC') return error;
  for (const [name, value] of values()) {
    const refusal = refusalOf(value);
    if (refusal === undefined) continue;
    return new HoldfastError(
      code,
      `${name}: ${refusal.message}. Keep it out of the state (UntrackedValue is LangGraph's channel for that), or give HoldfastSaver a serializer of your own`,
      { cause: refusal },
    );
  }
  return error;
}

/** Of an item of the store. */
export function explainedItem(
  error: unknown,
  { namespace, key }: { readonly namespace: readonly string[]; readonly key: string },
): unknown {
  const { code, message } = error as HoldfastError | ArgumentError;
  const short = typeof key === 'string' && key.length > 100 ? `${key.slice(0, 100)}…` : key;
  const item = `Item ${shown(short)} in ${shown(namespace)}`;
  switch (code) {
    case 'ERR_HOLDFAST_KEY_SIZE':
      return rangeError(
        `${item}: its key and namespace have more than 1,000 bytes together; take a hash`,
        code,
      );
    case 'ERR_HOLDFAST_INVALID_ARGUMENT':
      return Object.assign(typeError(`${item}: ${message}`), { cause: error });
    case 'ERR_HOLDFAST_CODEC':
      return new HoldfastError(code, `${item}: ${message}`, { cause: error });
    default:
      return error;
  }
}

function refusalOf(value: unknown): HoldfastError | ArgumentError | undefined {
  try {
    compare(undefined, false, value, comparing);
    return undefined;
  } catch (error) {
    return error as HoldfastError;
  }
}
