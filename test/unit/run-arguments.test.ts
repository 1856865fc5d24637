/** What a tool is called with is what was recorded. */
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
      cents, list: [1, , { deep: cents }], map: new Map([['a', { cents }]]), set: new Set([cents]), at: new Date(cents),
      bytes: Buffer.from([cents]), floats: new Float64Array([cents]), own: JSON.parse('{"__proto__":1}') as object, self: undefined as unknown,
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
    const call = run.tool('pay', args, tool, { safety: 'idempotent', retry: { attempts: 3, delay: 1 } });
    change(args);
    expect(await call).toBe(3);
    for (const each of given) expect(each).toEqual({ ...structuredClone({ ...asked(7) }), order: 5, self: expect.anything() as unknown });
    expect(given).toHaveLength(3);
    const [, intent] = await bench.journal();
    expect(intent!.args).toMatchObject({ cents: 7, list: [1, , { deep: 7 }], set: new Set([7]), at: new Date(7), floats: new Float64Array([7]) });
  });

  test('that cannot be read are refused, and nothing is recorded', async () => {
    const run = await bench.pool.run('r');
    const deep: { in?: object } = {};
    for (let at = deep, n = 0; n < 1e5; ++n) at = at.in = {};
    const throwing = {
      get cents(): number {
        throw new Error('unreadable');
      },
    };
    for (const args of [deep, throwing, () => 1]) await rejects(run.tool('t', args, never), 'ERR_HOLDFAST_CODEC');
    expect(await bench.kinds()).toEqual(['start']);
  });
});
