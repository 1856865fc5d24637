/**
 * LangGraph's own runtime over the saver: durability modes, parallel branches of which one fails,
 * and what another process sees.
 */
import { join } from 'node:path';

import { Annotation, END, MemorySaver, START, StateGraph } from '@langchain/langgraph';
import { expect, it } from 'vitest';

import { openSync } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { HoldfastSaver } from './modules';

const folder = scratchFolder('langgraph-runtime');
let number = 0;
const State = Annotation.Root({
  log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});
type Config = { configurable: { thread_id: string }; durability?: 'sync' | 'async' | 'exit' };

function chain(checkpointer: HoldfastSaverInstance | MemorySaver) {
  const say = (word: string) => () => ({ log: [word] });
  return new StateGraph(State)
    .addNode('one', say('one'))
    .addNode('two', say('two'))
    .addNode('three', say('three'))
    .addEdge(START, 'one')
    .addEdge('one', 'two')
    .addEdge('two', 'three')
    .addEdge('three', END)
    .compile({ checkpointer });
}
type HoldfastSaverInstance = InstanceType<typeof HoldfastSaver>;

it('keeps in every durability mode what MemorySaver keeps, and another pool object reads the same', async () => {
  for (const durability of ['sync', 'async', 'exit'] as const) {
    const path = join(folder, `${++number}.holdfast`);
    const config: Config = { configurable: { thread_id: 't' }, durability };
    const expected = chain(new MemorySaver());
    await expected.invoke({ log: ['start'] }, config);
    {
      using pool = openSync(path, { medium: 'file' });
      expect(await chain(new HoldfastSaver(pool)).invoke({ log: ['start'] }, config)).toEqual({
        log: ['start', 'one', 'two', 'three'],
      });
    }
    using pool = openSync(path);
    const graph = chain(new HoldfastSaver(pool));
    const history = [];
    for await (const { values, next, metadata } of graph.getStateHistory(config))
      history.push({ values, next, step: metadata?.step });
    const wanted = [];
    for await (const { values, next, metadata } of expected.getStateHistory(config))
      wanted.push({ values, next, step: metadata?.step });
    expect(history).toEqual(wanted);
    expect(history.length).toBe(durability === 'exit' ? 1 : 5);
    await graph.updateState(config, { log: ['edited'] }, 'one');
    expect(await graph.invoke(null, config)).toEqual({
      log: ['start', 'one', 'two', 'three', 'edited', 'two', 'three'],
    });
  }
});

it('of parallel branches only those that failed run again', async () => {
  const path = join(folder, `${++number}.holdfast`);
  const config: Config = { configurable: { thread_id: 't' }, durability: 'sync' };
  const ran: string[] = [];
  let fail = true;
  const graphOn = (saver: HoldfastSaverInstance) => {
    const branch = (name: string) => async () => {
      ran.push(name);
      if (name === 'b' && fail) {
        // After the others are done, whose writes are then kept.
        await new Promise((go) => setTimeout(go, 50));
        throw new Error('b is ill');
      }
      return { log: [name] };
    };
    return new StateGraph(State)
      .addNode('a', branch('a'))
      .addNode('b', branch('b'))
      .addNode('c', branch('c'))
      .addNode('join', () => ({ log: ['joined'] }))
      .addEdge(START, 'a')
      .addEdge(START, 'b')
      .addEdge(START, 'c')
      .addEdge(['a', 'b', 'c'], 'join')
      .compile({ checkpointer: saver });
  };
  {
    using pool = openSync(path, { medium: 'file' });
    await expect(graphOn(new HoldfastSaver(pool)).invoke({ log: [] }, config)).rejects.toThrow(
      'b is ill',
    );
  }
  fail = false;
  using pool = openSync(path);
  expect(await graphOn(new HoldfastSaver(pool)).invoke(null, config)).toEqual({
    log: ['a', 'b', 'c', 'joined'],
  });
  expect(ran.sort()).toEqual(['a', 'b', 'b', 'c']);
});
