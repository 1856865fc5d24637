/**
 * Random lives of runs that call tools, have children, are forked, end and are forgotten, beside a
 * model of them: whatever was forgotten, no run that is left asks for something that is gone, no
 * effect happens again, and what goes is what a look at all runs says.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';

import { open, type Holdfast, type Run } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { never } from './support/runs';

const folder = scratchFolder('forget-model');
let pools = 0;

/** A tool's call with what it gave, or the name of a child. */
type Operation = { readonly gave: string } | { readonly child: string };

interface Known {
  readonly operations: Operation[];
  finished: boolean;
}

interface Model extends Known {
  readonly parent?: string;
  readonly from?: string;
  unknown?: boolean;
  checkpoints: { readonly id: string; readonly known: Known; readonly children: Children }[];
  /** Of a fork: those that it has not asked for yet, as they were at its checkpoint. */
  readonly shared: Children;
}

type Children = ReadonlyMap<string, Known>;

const action = fc.record({
  what: fc.constantFrom(
    ...(['work', 'work', 'checkpoint', 'child', 'fork', 'fork', 'finish', 'finish'] as const),
    ...(['fail', 'resolve', 'prune', 'forget', 'reopen'] as const),
  ),
  id: fc.constantFrom('a', 'b', 'c', 'd'),
  pick: fc.nat(50),
});

class World {
  readonly runs = new Map<string, Model>();
  readonly #keys = new Set<string>();

  constructor(
    public pool: Holdfast,
    private readonly path: string,
  ) {}

  async perform({ what, id, pick }: { what: string; id: string; pick: number }): Promise<void> {
    const model = this.runs.get(id);
    if (what === 'reopen') {
      await this.pool.close();
      this.pool = await open(this.path);
    } else if (what === 'forget') await this.forget();
    else if (what === 'resolve') {
      for (const outcome of this.pool.unknownOutcomes())
        await this.pool.resolve(outcome.id, 'never-happened');
      for (const each of this.runs.values()) each.unknown = false;
    } else if (what === 'fork') await this.fork(id, pick);
    else if (what === 'prune' && model !== undefined) {
      await this.pool.prune(id);
      model.checkpoints = model.checkpoints.slice(-1);
    } else if (what !== 'prune') await this.drive(id, (run, now) => this.go(what, run, now, pick));
  }

  private async go(what: string, run: Run, model: Model, pick: number): Promise<void> {
    if (what === 'work') await this.work(run, model);
    else if (what === 'checkpoint') {
      const { checkpoint } = await run.checkpoint({ operations: model.operations });
      const known = copyOf(model);
      model.checkpoints.push({ id: checkpoint, known, children: this.childrenOf(run.id, model) });
    } else if (what === 'child') await this.child(run, model, `k${pick % 2}`, pick % 3 > 0);
    else {
      if (what === 'fail') {
        const lost = (): Promise<never> => Promise.reject(new Error('gone silent'));
        await run.tool('lost', 1, lost).catch(() => {});
        model.unknown = true;
      }
      await run.finish(run.id);
      model.finished = true;
    }
  }

  /** Begins the run, or continues it: all that it did is there. */
  private async drive(id: string, go: (run: Run, model: Model) => Promise<void>): Promise<void> {
    const run = await this.pool.run(id);
    let model = this.runs.get(id);
    if (model === undefined) {
      expect([run.continued, run.state]).toEqual([false, undefined]);
      model = { operations: [], finished: false, checkpoints: [], shared: new Map() };
      this.runs.set(id, model);
    }
    await this.recall(run, model);
    if (!model.finished) await go(run, model);
    run.close();
  }

  private async recall(run: Run, model: Model): Promise<void> {
    expect([run.id, run.status]).toEqual([run.id, model.finished ? 'finished' : 'running']);
    if (model.finished) return;
    for (const operation of model.operations) {
      if ('gave' in operation) expect(await run.tool('t', 1, never)).toBe(operation.gave);
      else {
        const child = await run.child(operation.child);
        await this.recall(child, this.childOf(run.id, model, operation.child));
        child.close();
      }
    }
  }

  /** A fork's child begins when it is asked for, as it was at the fork's checkpoint. */
  private childOf(parent: string, model: Model, name: string): Model {
    const id = `${parent}/${name}`;
    const known = this.runs.get(id);
    if (known !== undefined) return known;
    const shared = model.shared.get(name);
    if (shared === undefined) throw new Error(`the model has no ${id}`);
    const child = { ...copyOf(shared), parent, checkpoints: [], shared: new Map() };
    this.runs.set(id, child);
    return child;
  }

  private childrenOf(parent: string, model: Model): Children {
    const children = new Map<string, Known>();
    for (const operation of model.operations) {
      if (!('child' in operation)) continue;
      const { child } = operation;
      children.set(child, copyOf(this.runs.get(`${parent}/${child}`) ?? model.shared.get(child)!));
    }
    return children;
  }

  private async work(run: Run, model: Model): Promise<void> {
    const call = (_args: unknown, { idempotencyKey }: { idempotencyKey: string }): string => {
      expect(this.#keys.has(idempotencyKey)).toBe(false);
      this.#keys.add(idempotencyKey);
      return `${run.id} ${idempotencyKey}`;
    };
    model.operations.push({ gave: await run.tool('t', 1, call) });
  }

  private async child(parent: Run, of: Model, name: string, ends: boolean): Promise<void> {
    // Asked for in this life already: one of that name is asked for once.
    if (of.operations.some((operation) => 'child' in operation && operation.child === name)) return;
    const run = await parent.child(name);
    of.operations.push({ child: name });
    const model: Model = {
      ...{ operations: [], finished: false, checkpoints: [], shared: new Map() },
      parent: parent.id,
    };
    this.runs.set(run.id, model);
    await this.work(run, model);
    if (ends) {
      await run.finish(run.id);
      model.finished = true;
    }
    run.close();
  }

  private async fork(id: string, pick: number): Promise<void> {
    const all = [...this.runs].flatMap(([from, { checkpoints }]) =>
      checkpoints.map((checkpoint) => ({ from, ...checkpoint })),
    );
    if (all.length === 0 || this.runs.has(id)) return;
    const { from, id: checkpoint, known, children } = all[pick % all.length]!;
    await this.pool.fork(checkpoint, id);
    const operations = [...known.operations];
    this.runs.set(id, { operations, finished: false, checkpoints: [], shared: children, from });
  }

  /** What goes is what may go by a look at all. */
  async forget(): Promise<void> {
    const going = this.mayGo();
    const stays = [...this.pool.runs()].filter(({ id }) => !going.has(id));
    expect(stays.length).toBe(this.runs.size - going.size);
    const counted = await this.pool.forgetRuns({ olderThan: -1000, dryRun: true });
    const forgotten = await this.pool.forgetRuns({ olderThan: -1000 });
    expect(counted).toEqual(forgotten);
    expect(forgotten.removed).toBe(going.size);
    const kept = Object.values(forgotten.kept).reduce((sum, count) => sum + count, 0);
    expect(kept).toBe([...this.runs.values()].filter((run) => run.finished).length - going.size);
    expect([...this.pool.runs()]).toEqual(stays);
    for (const id of going) this.runs.delete(id);
  }

  /** All end, and nothing is left. */
  async end(): Promise<void> {
    for (const [id, model] of this.runs) {
      if (!model.finished) await (await this.pool.run(id)).finish();
      model.finished = true;
    }
    await this.perform({ what: 'resolve', id: '', pick: 0 });
    await this.forget();
    expect(this.runs.size).toBe(0);
  }

  private mayGo(): Set<string> {
    const going = new Set(
      [...this.runs].filter(([, run]) => run.finished && !run.unknown).map(([id]) => id),
    );
    for (let before = -1; before !== going.size;) {
      before = going.size;
      for (const [id, { parent, from }] of this.runs) {
        // A parent and a child go together, an origin only where its fork does.
        if (parent !== undefined && !(going.has(id) && going.has(parent))) {
          going.delete(id);
          going.delete(parent);
        }
        if (from !== undefined && !going.has(id)) going.delete(from);
      }
    }
    return going;
  }
}

function copyOf({ operations, finished }: Known): Known {
  return { operations: [...operations], finished };
}

test('what is left recalls all that it did, and what goes is what may go', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 5, maxLength: 40 }), async (actions) => {
      const path = `${folder}/${++pools}.pool`;
      const world = new World(await open(path, { medium: 'file' }), path);
      for (const each of actions) await world.perform(each);
      await world.end();
      expect((await world.pool.check()).damages).toEqual([]);
      await world.pool.close();
    }),
    { numRuns: Number(process.env.HOLDFAST_MODEL_RUNS ?? 40), endOnFailure: true },
  );
});
