/**
 * What a `Send` passes on is mostly the state that its task was given, so it is not stored again.
 *
 * Of the checkpoint that was last saved here it is remembered, weakly, which objects its channels
 * were made of: where a Send holds one of them, what is stored of it is shared. Nothing of it is
 * in the pool, and a process that did not save the checkpoint stores what is sent anew.
 */
import type { Shadow } from '../../checkpoint/index';
import { OBJECT, Tree } from '../../checkpoint/shadow';
import type { Checkpoint } from './types';
import { sharedOf } from './written';

/** What each channel was made of. */
export type Lives = ReadonlyMap<string, WeakRef<object>>;

/** Of a checkpoint as it is looked at; its caller may change it afterwards. */
export function livesOf(state: unknown): Lives {
  const lives = new Map<string, WeakRef<object>>();
  for (const [channel, value] of Object.entries((state as Checkpoint).channel_values))
    if (typeof value === 'object' && value !== null) lives.set(channel, new WeakRef(value));
  return lives;
}

/** Where the channels of a checkpoint, and the elements of its lists, are stored. */
export function storedBy(shadow: Shadow, lives: Lives | undefined): Map<object, Tree> {
  const stored = new Map<object, Tree>();
  const channels = fieldOf(shadow, 'channel_values');
  for (const [channel, weak] of lives ?? []) {
    const live = weak.deref();
    const tree = fieldOf(channels, channel);
    if (live !== undefined) for (const [part, its] of sharedOf(live, tree)) stored.set(part, its);
  }
  return stored;
}

function fieldOf(shadow: Shadow, name: string): Shadow {
  if (!(shadow instanceof Tree) || shadow.shape !== OBJECT) return undefined;
  const { items } = shadow;
  for (let at = 0; at < items.length; at += 2) if (items[at] === name) return items[at + 1];
  return undefined;
}

export function isSend(value: unknown): boolean {
  return (value as { lg_name?: unknown } | null | undefined)?.lg_name === 'Send';
}
