/**
 * What a `Send` passes on is mostly the state that its task was given, and what an input holds is
 * what the first writes of the graph are, so it is not stored again.
 *
 * Of the checkpoint that was last saved here it is remembered, weakly, which objects its channels
 * were made of: where a write holds one of them, what is stored of it is shared. Nothing of it is
 * in the pool, and a process that did not save the checkpoint stores what is written anew.
 */
import type { Shadow } from '../../checkpoint/index';
import { type Blob, hasNodes, OBJECT, Tree } from '../../checkpoint/shadow';
import type { Checkpoint } from './types';
import { sharedOf } from './written';

/** The channel that an input comes in. */
const INPUT = '__start__';

/** What each channel was made of. */
export type Lives = ReadonlyMap<string, WeakRef<object>>;

/** Of a checkpoint as it is looked at; its caller may change it afterwards. */
export function livesOf(state: unknown): Lives {
  const lives = new Map<string, WeakRef<object>>();
  for (const [channel, value] of Object.entries((state as Checkpoint).channel_values))
    if (typeof value === 'object' && value !== null) lives.set(channel, new WeakRef(value));
  return lives;
}

interface List {
  readonly live: readonly unknown[];
  readonly tree: Tree;
}

/** Of the input of a graph alone: what the other channels hold is seldom written again. */
export function inputOf(lives: Lives | undefined): Lives {
  const input = lives?.get(INPUT);
  return new Map(input === undefined ? [] : [[INPUT, input]]);
}

/** Where what a task writes is stored already, or will be with the Sends before it. */
export class Passed {
  /** Is any of it stored with the checkpoint? */
  isShared = false;
  /** The channels of the checkpoint, and the elements of its lists. */
  readonly #stored = new Map<object, Tree | Blob>();
  /**
   * By their first elements and lengths. A Send makes lists of its own of what it is given: one is
   * known by its ends and its length, and who compares it sees whether all of it is the same.
   */
  readonly #lists = new Map<unknown, Map<number, List>>();
  /** Lists of Sends only: nothing of the checkpoint's. */
  readonly #own = new Set<Tree | Blob>();

  constructor(shadow?: Shadow, lives?: Lives) {
    const channels = fieldOf(shadow, 'channel_values');
    for (const [channel, weak] of lives ?? []) {
      const live = weak.deref();
      if (live === undefined) continue;
      const tree = fieldOf(channels, channel);
      for (const [part, its] of sharedOf(live, tree)) this.#stored.set(part, its);
      this.#addList(live, tree);
    }
  }

  readonly find = (live: object): Tree | Blob | undefined => {
    const found = this.#stored.get(live) ?? this.#listLike(live);
    if (found !== undefined && !this.#own.has(found)) this.isShared = true;
    return found;
  };

  /** The next may hold the same lists. */
  add(send: unknown, shadow: Shadow): void {
    const args = fieldOf(shadow, 'args');
    for (const [name, live] of Object.entries((send as { args?: object }).args ?? {})) {
      const tree = fieldOf(args, name);
      if (this.#addList(live, tree)) this.#own.add(tree as Tree);
    }
  }

  #listLike(live: object): Tree | undefined {
    if (!Array.isArray(live) || live.length === 0) return undefined;
    const list = this.#lists.get(live[0])?.get(live.length);
    return list !== undefined && list.live.at(-1) === live.at(-1) ? list.tree : undefined;
  }

  /** Is it one that was not known? */
  #addList(live: unknown, tree: Shadow): boolean {
    if (!Array.isArray(live) || !(tree instanceof Tree) || !hasNodes(tree)) return false;
    const lists = this.#lists.get(live[0]) ?? new Map<number, List>();
    if (lists.get(live.length)?.tree === tree) return false;
    this.#lists.set(live[0], lists.set(live.length, { live, tree }));
    return true;
  }
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
