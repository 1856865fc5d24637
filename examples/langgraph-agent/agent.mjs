// A LangGraph agent of an airline that may be killed at any moment and is simply started again.
//
//   node examples/langgraph-agent/agent.mjs <pool> <ledger>
//
// Its model is scripted (conversation.json). Its effects are lines in the ledger, a file that
// stands for the outside world: whatever happens to the agent, each effect must be there once.
// `HOLDFAST_EXAMPLE_KILL=<tool>:<before|after>` kills the process in the middle of that tool's
// call, before or after the effect.
import { appendFileSync, existsSync, readFileSync } from 'node:fs';

import { AIMessage, HumanMessage, ToolMessage } from '@langchain/core/messages';
import { END, MessagesAnnotation, START, StateGraph } from '@langchain/langgraph';
import { open } from 'holdfast';
import { durableTool, HoldfastSaver } from 'holdfast/langgraph';

const [poolPath, ledger] = process.argv.slice(2);
if (!poolPath || !ledger) {
  console.error('usage: agent.mjs <pool> <ledger>');
  process.exit(2);
}
const { turns } = JSON.parse(readFileSync(new URL('conversation.json', import.meta.url), 'utf8'));
const [killedTool, killedWhen] = (process.env.HOLDFAST_EXAMPLE_KILL ?? '').split(':');

function maybeDie(tool, when) {
  if (tool === killedTool && when === killedWhen) process.kill(process.pid, 'SIGKILL');
}

// The outside world: performs an effect, and knows which it performed.
const outside = {
  perform(name, key, args) {
    maybeDie(name, 'before');
    appendFileSync(ledger, `${JSON.stringify({ name, key, args })}\n`);
    maybeDie(name, 'after');
    return { ok: true, name };
  },
  find(key) {
    if (!existsSync(ledger)) return undefined;
    const lines = readFileSync(ledger, 'utf8').split('\n').filter(Boolean);
    return lines.map((line) => JSON.parse(line)).find((effect) => effect.key === key);
  },
};

// The one place that is new to a LangGraph user: a tool with an effect says how to find out whether
// it happened.
const effect = (name) =>
  durableTool((args, { idempotencyKey }) => outside.perform(name, idempotencyKey, args), {
    name,
    safety: 'effect',
    probe: (key) => {
      const found = outside.find(key);
      return found
        ? { happened: true, result: { ok: true, name: found.name } }
        : { happened: false };
    },
  });
const tools = {
  get_reservation: durableTool(() => ({ from: 'OSL', to: 'LIS', date: '14 May' }), {
    name: 'get_reservation',
    safety: 'readOnly',
  }),
  charge_card: effect('charge_card'),
  change_flight: effect('change_flight'),
  send_receipt: effect('send_receipt'),
};

// Which turn of the script comes next: one per message of the model or the user.
const turnOf = (messages) =>
  turns[messages.filter((message) => message.getType() !== 'tool').length];

const graph = new StateGraph(MessagesAnnotation)
  .addNode('user', ({ messages }) => ({ messages: [new HumanMessage(turnOf(messages).user)] }))
  .addNode('model', ({ messages }) => {
    const { say, call } = turnOf(messages);
    const id = `call-${messages.length}`;
    return {
      messages: [
        new AIMessage({
          content: say,
          tool_calls: call ? [{ id, type: 'tool_call', ...call }] : [],
        }),
      ],
    };
  })
  .addNode('tools', async ({ messages }, config) => {
    const answers = [];
    for (const { id, name, args } of messages.at(-1).tool_calls) {
      const answer = await tools[name](args, config);
      answers.push(new ToolMessage({ content: JSON.stringify(answer), tool_call_id: id, name }));
    }
    return { messages: answers };
  })
  .addEdge(START, 'user')
  .addEdge('user', 'model')
  .addConditionalEdges(
    'model',
    ({ messages }) => {
      if (messages.at(-1).tool_calls.length > 0) return 'tools';
      return turnOf(messages) === undefined
        ? END
        : turnOf(messages).user !== undefined
          ? 'user'
          : 'model';
    },
    ['tools', 'user', 'model', END],
  )
  .addEdge('tools', 'model');

const pool = await open(poolPath);
const agent = graph.compile({ checkpointer: new HoldfastSaver(pool) });
// `sync`: a step's checkpoint is durable before the next step begins. Effects need that.
const config = { configurable: { thread_id: 'trip' }, durability: 'sync', recursionLimit: 100 };
const before = await agent.getState(config);
const begun = Object.keys(before.values).length > 0;
// Not `next`: a task that wrote, and died before the next checkpoint, is no longer in that.
const left = before.tasks.map(({ name }) => name);
if (begun) console.log(`continuing at ${left.join(', ') || 'the end'}`);
const { messages } =
  begun && left.length === 0
    ? before.values
    : await agent.invoke(begun ? null : { messages: [] }, config);
for (const message of messages)
  console.log(`${message.getType()}: ${message.content || JSON.stringify(message.tool_calls)}`);
await pool.close();
