/**
 * LangGraph's checkpointer on a pool. What a step did not change is neither encoded nor written
 * again.
 *
 * `put` and `putWrites` are durable when their promises resolve. Values are looked at before either
 * of them first waits, so a state that is changed in place afterwards does no harm.
 */
import { isDeepStrictEqual } from 'node:util';

import { optionsObject } from '../../options';
import type { Parts, PruneReport } from '../../checkpoint/index';
import type { PoolCore } from '../../types';
import { mustBePool, serializerOption } from './given';
import { optionalText, requiredText } from './keys';
import { explaining, named } from './refusals';
import { ruleOf, type ThreadPruneOptions } from './prune';
import { type StoredCheckpoint, Threads } from './threads';
import type {
  ChannelVersions,
  Checkpoint,
  CheckpointMetadata,
  CheckpointPendingWrite,
  CheckpointTuple,
  Config,
  DeltaChannelHistory,
  LangGraphModules,
  ListOptions,
  PendingWrite,
  Saver,
  Serializer,
} from './types';
import { plain, Values } from './values';

type Key = readonly [thread: string, namespace: string, id: string];

export type HoldfastSaverClass = new (pool: PoolCore, serde?: Serializer) => HoldfastSaver;

export interface HoldfastSaver extends Saver {
  readonly pool: PoolCore;
  /**
   * Removes a thread's older checkpoints with their writes, and gives back what only they held.
   * Safe to repeat; a crash leaves some of it undone. The thread may be running.
   */
  prune(threadId: string, options?: ThreadPruneOptions): Promise<PruneReport>;
}

export function makeSaver(modules: LangGraphModules): HoldfastSaverClass {
  const { BaseCheckpointSaver, WRITES_IDX_MAP, TASKS, maxChannelVersion } = modules.checkpoint;

  return class HoldfastSaver extends BaseCheckpointSaver implements Saver {
    readonly pool: PoolCore;
    readonly #threads: Threads;
    readonly #values: Values;
    readonly #encodes: boolean;

    constructor(pool: PoolCore, serde?: Serializer) {
      super(serializerOption(serde));
      this.pool = mustBePool(pool, 'new HoldfastSaver(pool)');
      this.#threads = Threads.of(pool);
      this.#values = new Values(modules, serde);
      this.#encodes = serde !== undefined;
    }

    async getTuple(config: Config): Promise<CheckpointTuple | undefined> {
      const thread = optionalText(config.configurable, 'thread_id');
      if (thread === undefined) return undefined;
      const namespace = optionalText(config.configurable, 'checkpoint_ns') ?? '';
      const asked =
        optionalText(config.configurable, 'checkpoint_id') ??
        optionalText(config.configurable, 'thread_ts');
      const id = asked ?? this.#threads.newest(thread, namespace);
      return id === undefined
        ? undefined
        : this.#tuple([thread, namespace, id], this.#threads.reader());
    }

    async *list(config: Config, options: ListOptions = {}): AsyncGenerator<CheckpointTuple> {
      const { filter } = options;
      let left = options.limit ?? Infinity;
      const parts = this.#threads.reader();
      for (const key of this.#keys(config, options.before)) {
        if (left <= 0) return;
        if (filter !== undefined && !matches(this.#threads.records.get(key)?.metadata, filter))
          continue;
        const tuple = await this.#tuple(key, parts);
        if (tuple === undefined) continue;
        --left;
        yield tuple;
      }
    }

    async put(
      config: Config,
      checkpoint: Checkpoint,
      metadata: CheckpointMetadata,
      newVersions: ChannelVersions = {},
    ): Promise<Config> {
      return this.#arriving(config, 'Saving a checkpoint', async (thread, doing) => {
        const namespace = optionalText(config.configurable, 'checkpoint_ns') ?? '';
        const parent = optionalText(config.configurable, 'checkpoint_id');
        // One without a parent, but a copy, has no channels but those that are new.
        const whole = parent !== undefined || metadata?.source === 'fork';
        let channels: Record<string, unknown> = {};
        for (const [channel, value] of Object.entries(checkpoint.channel_values ?? {})) {
          if (whole || Object.hasOwn(newVersions, channel))
            channels[channel] = this.#values.into(value);
        }
        if (this.#encodes) channels = await settledValues(channels);
        const state = {
          v: checkpoint.v,
          id: checkpoint.id,
          ts: checkpoint.ts,
          channel_values: channels,
          channel_versions: checkpoint.channel_versions,
          versions_seen: checkpoint.versions_seen,
        };
        const key: Key = [thread, namespace, checkpoint.id];
        const values = () => [
          ['The metadata', metadata] as const,
          ...Object.entries(channels).map(named),
        ];
        await explaining({ doing, ids: key, values }, async () =>
          this.#threads.save(key, parent, plain(metadata), state),
        );
        return configOf(key);
      });
    }

    async putWrites(
      config: Config,
      writes: PendingWrite[],
      taskId: string,
      taskPath?: string,
    ): Promise<void> {
      return this.#arriving(config, 'Saving the writes of a task', async (thread, doing) => {
        const namespace = optionalText(config.configurable, 'checkpoint_ns') ?? '';
        const id = requiredText(config.configurable, 'checkpoint_id', doing);
        const values: unknown[] = writes.map(([, value]) => this.#values.into(value));
        // Without a serializer nothing is waited for: the values must be looked at before they can
        // change.
        const encoded = this.#encodes;
        const settled = encoded ? await Promise.all(values) : values;
        const made = writes.map(([channel], at) => ({
          index: WRITES_IDX_MAP[channel] ?? at,
          channel,
          value: settled[at],
          encoded,
        }));
        const task = { id: taskId, path: taskPath || undefined };
        const key: Key = [thread, namespace, id];
        await explaining({ doing, ids: [...key, taskId], values: () => writes.map(named) }, () =>
          this.#threads.write(key, task, made),
        );
      });
    }

    /** Whoever waits for what is on its way to the thread waits for this too. */
    #arriving<R>(
      config: Config,
      doing: string,
      put: (thread: string, doing: string) => Promise<R>,
    ): Promise<R> {
      const thread = requiredText(config.configurable, 'thread_id', doing);
      return this.#threads.arrivals.add(thread, put(thread, doing));
    }

    async deleteThread(threadId: string): Promise<void> {
      await this.#threads.delete(
        requiredText({ thread_id: threadId }, 'thread_id', 'Deleting a thread'),
      );
    }

    async prune(threadId: string, options?: ThreadPruneOptions): Promise<PruneReport> {
      const thread = requiredText({ thread_id: threadId }, 'thread_id', 'Pruning a thread');
      return this.#threads.prune(
        thread,
        ruleOf(optionsObject(options, 'prune', ['keepLast', 'olderThan'])),
      );
    }

    async getDeltaChannelHistory(options: {
      config: Config;
      channels: string[];
    }): Promise<Record<string, DeltaChannelHistory>> {
      const { config, channels } = options;
      const history: Record<string, DeltaChannelHistory> = {};
      for (const channel of channels) history[channel] = { writes: [] };
      const thread = optionalText(config.configurable, 'thread_id');
      if (thread === undefined || channels.length === 0) return history;
      const namespace = optionalText(config.configurable, 'checkpoint_ns') ?? '';
      const target =
        optionalText(config.configurable, 'checkpoint_id') ??
        this.#threads.newest(thread, namespace);
      const open = new Set(channels);
      const parts = this.#threads.reader();
      let id = target && this.#threads.records.get([thread, namespace, target])?.parent;
      while (id !== undefined && id !== '' && open.size > 0) {
        const key: Key = [thread, namespace, id];
        const record = this.#threads.records.get(key);
        if (record === undefined) break;
        // Newest first here; turned round below.
        for (const write of (await this.#writesOf(key, parts)).reverse()) {
          if (open.has(write[1])) history[write[1]]!.writes.push(write);
        }
        const { channel_values: values } = this.#threads.load(
          key,
          record,
          this.#values.making,
          parts,
        ) as Checkpoint;
        for (const channel of [...open]) {
          if (!Object.hasOwn(values, channel) || values[channel] === undefined) continue;
          history[channel]!.seed = await this.#values.outOf(values[channel]);
          open.delete(channel);
        }
        id = record.parent;
      }
      for (const channel of channels) history[channel]!.writes.reverse();
      return history;
    }

    async #tuple(key: Key, parts: Parts): Promise<CheckpointTuple | undefined> {
      const record = this.#threads.records.get(key);
      if (record === undefined) return undefined;
      try {
        return await this.#read(key, record, parts);
      } catch (error) {
        // Its nodes went with it, if it was deleted meanwhile.
        if (this.#threads.records.get(key)?.family === record.family) throw error;
        return undefined;
      }
    }

    async #read(key: Key, record: StoredCheckpoint, parts: Parts): Promise<CheckpointTuple> {
      const [thread, namespace] = key;
      const checkpoint = this.#threads.load(key, record, this.#values.making, parts) as Checkpoint;
      const { channel_values: values } = checkpoint;
      for (const [channel, value] of Object.entries(values))
        values[channel] = await this.#values.outOf(value);
      const parent: Key | undefined =
        record.parent === undefined ? undefined : [thread, namespace, record.parent];
      if (checkpoint.v < 4 && parent !== undefined)
        await this.#migratePendingSends(checkpoint, parent, parts);
      const tuple: CheckpointTuple = {
        config: configOf(key),
        checkpoint,
        metadata: (await this.#values.outOf(record.metadata)) as CheckpointMetadata,
        pendingWrites: await this.#writesOf(key, parts),
      };
      if (parent !== undefined) tuple.parentConfig = configOf(parent);
      return tuple;
    }

    /** In the order in which the step applied them. */
    async #writesOf(key: Key, parts: Parts): Promise<CheckpointPendingWrite[]> {
      const found: CheckpointPendingWrite[] = [];
      for (const [task, write] of this.#threads.writesOf(key))
        found.push([task, write.channel, this.#threads.valueOf(write, this.#values.making, parts)]);
      // Only behind all reading: what is read in one turn belongs together.
      for (const write of found) write[2] = await this.#values.outOf(write[2]);
      return found;
    }

    /**
     * Checkpoints of former formats keep what was sent to other nodes with their parent's writes.
     */
    async #migratePendingSends(checkpoint: Checkpoint, parent: Key, parts: Parts): Promise<void> {
      const sends = (await this.#writesOf(parent, parts)).filter(
        ([, channel]) => channel === TASKS,
      );
      checkpoint.channel_values[TASKS] = sends.map(([, , value]) => value);
      const versions = Object.values(checkpoint.channel_versions);
      checkpoint.channel_versions[TASKS] =
        versions.length > 0 ? maxChannelVersion(...versions) : this.getNextVersion(undefined);
    }

    /** The newest first within a thread. */
    #keys(config: Config, before: Config | undefined): Iterable<Key> {
      const thread = optionalText(config.configurable, 'thread_id');
      // The empty one is a graph's own; without one all are meant.
      const namespace =
        config.configurable?.checkpoint_ns === ''
          ? ''
          : optionalText(config.configurable, 'checkpoint_ns');
      const only = optionalText(config.configurable, 'checkpoint_id');
      const limit = optionalText(before?.configurable, 'checkpoint_id');
      if (thread !== undefined && namespace !== undefined && only === undefined)
        return this.#threads.newestFirst(thread, namespace, limit);
      const isAsked = ([, its, id]: Key): boolean =>
        (namespace === undefined || its === namespace) &&
        (only === undefined || id === only) &&
        (limit === undefined || id < limit);
      return this.#threads.newestOfEach(thread, isAsked);
    }
  };
}

function configOf([thread, namespace, id]: Key): Config {
  return { configurable: { thread_id: thread, checkpoint_ns: namespace, checkpoint_id: id } };
}

function matches(metadata: unknown, filter: Record<string, unknown>): boolean {
  if (typeof metadata !== 'object' || metadata === null) return false;
  return Object.entries(filter).every(([key, value]) =>
    isDeepStrictEqual((metadata as Record<string, unknown>)[key], value),
  );
}

async function settledValues(values: Record<string, unknown>): Promise<Record<string, unknown>> {
  const entries = Object.entries(values).map(async ([key, value]) => [key, await value] as const);
  return Object.fromEntries(await Promise.all(entries));
}
