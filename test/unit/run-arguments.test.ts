/** What a step or a tool is called with is what was recorded. */
import { describe, expect, test } from 'vitest';

import type { ToolContext } from '../../lib/index';
import { never, rejects, runsBench } from './support/runs';

const bench = runsBench('arguments');

describe('arguments', () => {
  class Order {
    #cents = 5;
    cents(): number {
      return this.#cents;
    }
  }

  test('are those of the moment of the call, recorded and given to each attempt, whatever is done to them meanwhile', async () => {
    const run = await bench.pool.run('r');
    const order = new Order();
    const asked = (cents: number) => ({
      cents,
      list: [1, , { deep: cents }],
      map: new Map([['a', { cents }]]),
      set: new Set([cents]),
      at: new Date(cents),
      bytes: Buffer.from([cents]),
      floats: new Float64Array([cents]),
      own: JSON.parse('{"__proto__":1}') as object,
      self: undefined as unknown,
    });
    const change = (args: ReturnType<typeof asked>): void => {
      args.cents = 0;
      args.list.push(9);
      (args.list[2] as { deep: number }).deep = 0;
      args.map.get('a')!.cents = 0;
      args.set.clear();
      args.at.setTime(0);
      args.bytes[0] = args.floats[0] = 0;
      delete (args.own as { ['__proto__']?: number })['__proto__'];
      args.self = undefined;
    };
    const given: unknown[] = [];
    const args = { ...asked(7), order };
    args.self = args;
    const tool = async (now: typeof args, { attempt }: ToolContext): Promise<number> => {
      given.push(structuredClone({ ...now, order: now.order.cents() }));
      expect(now.self).toBe(now);
      change(now);
      if (attempt < 3) throw new Error('busy');
      return attempt;
    };
    const call = run.tool('pay', args, tool, {
      safety: 'idempotent',
      retry: { attempts: 3, delay: 1 },
    });
    change(args);
    expect(await call).toBe(3);
    for (const each of given)
      expect(each).toEqual({
        ...structuredClone({ ...asked(7) }),
        order: 5,
        self: expect.anything() as unknown,
      });
    expect(given).toHaveLength(3);
    const [, intent] = await bench.journal();
    expect(intent!.args).toMatchObject({
      cents: 7,
      list: [1, , { deep: 7 }],
      set: new Set([7]),
      at: new Date(7),
      floats: new Float64Array([7]),
    });
  });

  test.each(['step', 'decision'] as const)(
    "of a %s are a copy: what it does to them is not done when it is skipped, so it is nobody else's",
    async (kind) => {
      const plan = async (life: number): Promise<unknown[]> => {
        const run = await bench.pool.run('r');
        const trip = { stops: ['Oslo'], at: new Date(5) };
        const add = (given: typeof trip) => {
          given.at.setTime(0);
          return given.stops.push('Rome');
        };
        const first = await run[kind]('add', trip, add);
        const second = await run[kind]('count', trip, ({ stops }) => stops.length);
        // A wait beside it makes the commit that comes before the work: what is done meanwhile is
        // not seen either.
        const waiting = run.signal('never', { suspendAfter: 60_000 }).catch(() => {});
        if (life === 1) await expect.poll(() => bench.pool.runInfo('r')?.status).toBe('waiting');
        const third = run[kind]('beside', trip, ({ stops }) => stops.length);
        trip.stops.length = 0;
        const all = [first, second, await third];
        run.close();
        await bench.again();
        await waiting;
        return all;
      };
      expect(await plan(1)).toEqual([2, 1, 1]);
      expect(await plan(2)).toEqual([2, 1, 1]);
    },
  );

  test('that cannot be read are refused, and nothing is recorded', async () => {
    const run = await bench.pool.run('r');
    const deep: { in?: object } = {};
    for (let at = deep, n = 0; n < 1e5; ++n) at = at.in = {};
    const throwing = {
      get cents(): number {
        throw new Error('unreadable');
      },
    };
    for (const args of [deep, throwing, () => 1])
      await rejects(run.tool('t', args, never), 'ERR_HOLDFAST_CODEC');
    expect(await bench.kinds()).toEqual(['start']);
  });
});

test('the input of a run is the same in its first life, whatever is done to it meanwhile', async () => {
  const input = { cents: [5] };
  const opening = bench.pool.run('r', { input });
  const run = await opening;
  const child = await run.child('c', { input });
  input.cents.push(7);
  expect([run.input, child.input]).toEqual([{ cents: [5] }, { cents: [5] }]);
  expect((await (await bench.again()).run('r')).input).toEqual({ cents: [5] });
});
