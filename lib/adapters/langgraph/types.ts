/**
 * LangGraph's contracts as far as we use them: shapes only. Nothing of LangGraph is imported here,
 * so the package works without it; `makeLangGraph` is given the modules by the entry that a user of
 * LangGraph loads.
 */

export interface Config {
  configurable?: Record<string, unknown>;
}

export type ChannelVersion = number | string;
export type ChannelVersions = Record<string, ChannelVersion>;

export interface Checkpoint {
  v: number;
  id: string;
  ts: string;
  channel_values: Record<string, unknown>;
  channel_versions: ChannelVersions;
  versions_seen: Record<string, ChannelVersions>;
}

export interface CheckpointMetadata {
  source: 'input' | 'loop' | 'update' | 'fork';
  step: number;
  parents: Record<string, string>;
}

export type PendingWrite = [channel: string, value: unknown];
export type CheckpointPendingWrite = [taskId: string, channel: string, value: unknown];

export interface CheckpointTuple {
  config: Config;
  checkpoint: Checkpoint;
  metadata?: CheckpointMetadata;
  parentConfig?: Config;
  pendingWrites?: CheckpointPendingWrite[];
}

export interface ListOptions {
  limit?: number;
  before?: Config;
  filter?: Record<string, unknown>;
}

export interface DeltaChannelHistory {
  writes: CheckpointPendingWrite[];
  seed?: unknown;
}

export interface Serializer {
  dumpsTyped(value: unknown): Promise<[string, Uint8Array]>;
  loadsTyped(type: string, data: Uint8Array | string): Promise<unknown>;
}

export interface Saver {
  serde: Serializer;
  toJSON(): string;
  get(config: Config): Promise<Checkpoint | undefined>;
  getTuple(config: Config): Promise<CheckpointTuple | undefined>;
  list(config: Config, options?: ListOptions): AsyncGenerator<CheckpointTuple>;
  put(
    config: Config,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<Config>;
  /** `taskPath`: LangGraph from checkpoint 1.2 on orders a step's writes by it. */
  putWrites(
    config: Config,
    writes: PendingWrite[],
    taskId: string,
    taskPath?: string,
  ): Promise<void>;
  deleteThread(threadId: string): Promise<void>;
  getDeltaChannelHistory(options: {
    config: Config;
    channels: string[];
  }): Promise<Record<string, DeltaChannelHistory>>;
  getNextVersion(current: number | undefined): number;
}

export interface Item {
  value: Record<string, unknown>;
  key: string;
  namespace: string[];
  createdAt: Date;
  updatedAt: Date;
}

export interface SearchItem extends Item {
  score?: number;
}

export interface GetOperation {
  namespace: string[];
  key: string;
}

export interface PutOperation {
  namespace: string[];
  key: string;
  value: Record<string, unknown> | null;
}

export interface SearchOperation {
  namespacePrefix: string[];
  filter?: Record<string, unknown>;
  limit?: number;
  offset?: number;
  query?: string;
}

export interface MatchCondition {
  matchType: 'prefix' | 'suffix';
  path: string[];
}

export interface ListNamespacesOperation {
  matchConditions?: MatchCondition[];
  maxDepth?: number;
  limit: number;
  offset: number;
}

export type StoreOperation =
  GetOperation | PutOperation | SearchOperation | ListNamespacesOperation;

export interface Store {
  batch(operations: StoreOperation[]): Promise<unknown[]>;
  get(namespace: string[], key: string): Promise<Item | null>;
  search(
    namespacePrefix: string[],
    options?: Omit<SearchOperation, 'namespacePrefix'>,
  ): Promise<SearchItem[]>;
  put(
    namespace: string[],
    key: string,
    value: Record<string, unknown>,
    index?: false | string[],
  ): Promise<void>;
  delete(namespace: string[], key: string): Promise<void>;
  listNamespaces(options?: {
    prefix?: string[];
    suffix?: string[];
    maxDepth?: number;
    limit?: number;
    offset?: number;
  }): Promise<string[][]>;
  start(): void | Promise<void>;
  stop(): void | Promise<void>;
}

export type CacheKey = [namespace: string[], key: string];

export interface Cache {
  serde: Serializer;
  get(keys: CacheKey[]): Promise<{ key: CacheKey; value: unknown }[]>;
  set(pairs: { key: CacheKey; value: unknown; ttl?: number }[]): Promise<void>;
  clear(namespaces: string[][]): Promise<void>;
}

/** What we take from `@langchain/langgraph-checkpoint` and `@langchain/core/load`. */
export interface LangGraphModules {
  readonly checkpoint: {
    readonly BaseCheckpointSaver: abstract new (
      serde?: Serializer,
    ) => Pick<Saver, 'serde' | 'toJSON' | 'get' | 'getNextVersion'>;
    readonly BaseStore: abstract new () => Omit<Store, 'batch'>;
    readonly BaseCache: abstract new (serde?: Serializer) => Pick<Cache, 'serde'>;
    readonly WRITES_IDX_MAP: Record<string, number>;
    readonly TASKS: string;
    readonly DeltaSnapshot: new (value: unknown) => object;
    readonly maxChannelVersion: (...versions: ChannelVersion[]) => ChannelVersion;
  };
  readonly load: (text: string) => Promise<unknown>;
}
