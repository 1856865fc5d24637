/**
 * The process that is killed: opens the pool and continues every conversation as a durable run,
 * several at once.
 *
 * Whatever was said is a step, every tool call a tool whose effect the ledger performs; each is
 * committed before the next. It keeps nothing of its own between two lives: where it goes on is
 * what the pool says.
 */
import { setTimeout } from 'node:timers/promises';

import { hasCode, HoldfastError } from '../../errors';
import { open } from '../../index';
import type { Run, ToolOptions } from '../../run/types';
import type { CommitOptions, PoolCore } from '../../types';
import { LedgerClient } from './ledger-client';
import type { DriverToParent } from './protocol';
import { readConfig, socketOf, Tape, type ReplayConfig, type TapeTurn } from './tape';

const SOURCE_KEYSPACE = 'replay.source';
const SOURCE_KEY = 'recording';

export type CalledOnTape = Extract<TapeTurn, { kind: 'called' }>;

/** How a driver makes its turns durable. Tests put drivers with a planted mistake in its place. */
export interface Turns {
  say(run: Run, role: string, produce: () => Promise<string>): Promise<unknown>;
  call(run: Run, turn: CalledOnTape, outside: Outside): Promise<unknown>;
}

/** The outside of one call: perform it, or ask whether it was performed. */
export interface Outside {
  perform(key: string): Promise<string | null>;
  probe: NonNullable<ToolOptions<string | null>['probe']>;
}

export const honestTurns: Turns = {
  say: (run, role, produce) => run.step(role, produce),
  call: (run, turn, outside) =>
    run.tool(turn.name, turn.args, (_args, { idempotencyKey }) => outside.perform(idempotencyKey), {
      safety: turn.safety,
      probe: turn.safety === 'effect' ? outside.probe : undefined,
    }),
};

type DrivenPool = PoolCore & { run(id: string, options?: { input?: unknown }): Promise<Run> };

class Driver {
  readonly #reached = new Map<number, number>();
  #fresh = 0;
  #commitUs: number[] = [];
  #continuedAt: number | undefined;
  #continued = false;
  #reporting = false;

  constructor(
    private readonly pool: DrivenPool,
    private readonly tape: Tape,
    private readonly ledger: LedgerClient,
    private readonly turns: Turns,
    private readonly tell: (message: DriverToParent) => void,
    private readonly thinkMs: number,
  ) {
    this.measureCommits();
  }

  /** Conversations in their order, `parallel` of them at any time. */
  async driveAll(parallel: number): Promise<void> {
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < this.tape.conversations) await this.drive(next++);
    };
    await Promise.all(Array.from({ length: parallel }, worker));
    this.report();
  }

  private async drive(index: number): Promise<void> {
    const conversation = this.tape.read(index);
    const run = await this.pool.run(conversation.id);
    let reached = 0;
    const advance = () => {
      reached += 1;
      this.note(index, reached);
    };
    try {
      if (run.status === 'running') {
        for (const turn of conversation.turns) await this.take(run, index, turn, advance);
        await run.finish({ messages: conversation.messages });
      }
      this.note(index, conversation.messages);
    } catch (error) {
      if (!hasCode(error, 'ERR_HOLDFAST_OUTCOME_UNKNOWN')) throw error;
      this.tell({ kind: 'unknownOutcome', conversation: index, message: error.message });
      run.close();
    }
  }

  private async take(run: Run, index: number, turn: TapeTurn, advance: () => void): Promise<void> {
    let fresh = false;
    const doing = () => (fresh = true);
    if (turn.kind === 'said') {
      await this.turns.say(run, turn.role, async () => {
        doing();
        if (turn.role === 'assistant' && this.thinkMs > 0) await setTimeout(this.thinkMs);
        return turn.text;
      });
      advance();
    } else if ((await this.turns.call(run, turn, this.outsideOf(index, turn, doing))) !== null)
      advance();
    if (!fresh) return;
    this.#fresh += 1;
    if (run.continued && !this.#continued) {
      this.#continued = true;
      this.#continuedAt = performance.timeOrigin + performance.now();
    }
  }

  private outsideOf(conversation: number, turn: CalledOnTape, doing: () => void): Outside {
    const { call, safety, args } = turn;
    return {
      perform: (key) => {
        doing();
        return this.ledger.perform({ key, conversation, call, safety, args });
      },
      probe: (key) => {
        doing();
        return this.ledger.probe(key);
      },
    };
  }

  private measureCommits(): void {
    const commit = this.pool.commit.bind(this.pool);
    this.pool.commit = async (batch, options?: CommitOptions) => {
      const begun = performance.now();
      const receipt = await commit(batch, options);
      this.#commitUs.push(Math.round((performance.now() - begun) * 1000));
      return receipt;
    };
  }

  private note(index: number, messages: number): void {
    this.#reached.set(index, messages);
    if (this.#reporting) return;
    this.#reporting = true;
    setImmediate(() => this.report());
  }

  private report(): void {
    this.#reporting = false;
    if (this.#reached.size === 0) return;
    this.tell({
      kind: 'progress',
      reached: [...this.#reached],
      fresh: this.#fresh,
      commitUs: this.#commitUs,
      continuedAt: this.#continuedAt,
    });
    this.#reached.clear();
    this.#fresh = 0;
    this.#commitUs = [];
    this.#continuedAt = undefined;
  }
}

const sourceOf = (pool: PoolCore) =>
  pool.keyspace<string, string>(SOURCE_KEYSPACE, { value: 'utf8' });

/**
 * Is this recording to be continued, or is the pool fresh? A pool with anything else in it is
 * refused.
 */
function isContinued(pool: PoolCore, config: ReplayConfig): boolean {
  const hash = sourceOf(pool).get(SOURCE_KEY);
  if (hash === config.hash) return true;
  if (pool.keyspaces().length === 0) return false;
  throw new HoldfastError(
    'ERR_HOLDFAST_DIVERGED',
    `${config.pool} was filled with ${hash === undefined ? 'something else' : `recording ${hash.slice(0, 12)}`}, ` +
      `asked for is recording ${config.hash.slice(0, 12)} (${config.input}). Choose another --pool, or delete this one`,
  );
}

async function drive(
  folder: string,
  generation: number,
  turns: Turns,
  tell: (message: DriverToParent) => void,
) {
  const config = readConfig(folder);
  tell({ kind: 'opening' });
  const pool: DrivenPool = await open(config.pool, { medium: config.medium });
  const continued = isContinued(pool, config);
  // In this order: a pool that says what it is filled from has a ledger, and a pool that is refused
  // gets none.
  const ledger = await LedgerClient.connect(socketOf(config), generation);
  if (!continued) await sourceOf(pool).put(SOURCE_KEY, config.hash);
  const { medium, durability } = pool;
  tell({ kind: 'opened', continued, medium, class: durability.class, reason: durability.reason });
  const tape = new Tape(config);
  await new Driver(pool, tape, ledger, turns, tell, config.thinkMs).driveAll(config.parallel);
  tape.close();
  ledger.close();
  await pool.close();
}

/**
 * The whole life of a driver process: `argv` is the replay's folder and the generation's number.
 */
export async function main(turns: Turns = honestTurns): Promise<void> {
  const tell = (message: DriverToParent) => void process.send?.(message);
  const leave = (message: DriverToParent, code: number) => {
    if (process.send) process.send(message, () => process.exit(code));
    else process.exit(code);
  };
  process.on('disconnect', () => process.exit(0));
  try {
    await drive(process.argv[2] ?? '.', Number(process.argv[3] ?? 1), turns, tell);
    leave({ kind: 'done' }, 0);
  } catch (error) {
    const code = error instanceof HoldfastError ? error.code : '';
    leave(
      { kind: 'failed', code, message: error instanceof Error ? error.message : String(error) },
      1,
    );
  }
}
