// States of about 64 KiB and how 1 KiB of each changes, for bench/checkpoints.mjs. The same in
// every run.

/** As long as a UUID. */
export const OWNER = 'run/thread-0f8fad5bd9cb469fa16570867';

let seed = 42;
function random(below) {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
  return (seed >>> 8) % below;
}

const words =
  `the agent calls a tool and reads its output then plans next step with context memory state token search result file path user
asks answer because model value list summary error retry`.split(/\s+/);

/** Flat, as what comes out of a parser is. */
function flat(text) {
  return Buffer.from(text).toString();
}

export function text(length) {
  let made = '';
  while (made.length < length) made += (made && ' ') + words[random(words.length)];
  return flat(made.slice(0, length));
}

const id = () =>
  Array.from({ length: 4 }, () =>
    random(2 ** 24)
      .toString(16)
      .padStart(8, '0'),
  ).join('-');

export function message(i, length) {
  const type = ['human', 'ai', 'tool'][i % 3];
  const usage = {
    input_tokens: random(9000),
    output_tokens: random(900),
    total_tokens: random(9900),
  };
  const metadata = type === 'ai' ? { model: 'model-x', finish_reason: 'tool_calls', usage } : {};
  const made = {
    type,
    id: id(),
    content: text(length),
    additional_kwargs: {},
    response_metadata: metadata,
  };
  const call = `call_${id().slice(0, 12)}`;
  const args = {
    query: text(40),
    limit: random(50),
    path: `/repo/src/${text(8)}`,
    recursive: true,
  };
  if (type === 'ai') made.tool_calls = [{ name: 'search_files', id: call, args }];
  if (type === 'tool') Object.assign(made, { tool_call_id: call, status: 'success' });
  return made;
}

function agentState(bytes) {
  const plan = Array.from({ length: 5 }, () => ({
    step: random(100),
    title: text(30),
    done: random(2) === 1,
    score: random(1000) / 7,
  }));
  const scratch = {
    cursor: random(1e6),
    budget: { tokens: random(1e5), cost: random(1e4) / 1e4 },
    flags: [true, false, null],
  };
  const state = {
    v: 4,
    id: id(),
    ts: '2025-01-02T03:04:05.678Z',
    channel_values: { messages: [], plan, scratch },
    channel_versions: { __start__: 2, messages: 17, plan: 4, scratch: 9, 'branch:to:agent': 3 },
    versions_seen: {
      __input__: {},
      __start__: { __start__: 1 },
      agent: { 'branch:to:agent': 2 },
      tools: { messages: 16 },
    },
    pending_sends: [],
  };
  const { messages } = state.channel_values;
  while (JSON.stringify(state).length < bytes)
    messages.push(message(messages.length, 120 + random(900)));
  return state;
}

const small = (i) => ({ role: i % 2 ? 'user' : 'assistant', content: text(60), n: i });
const large = (i) => ({ role: i % 2 ? 'user' : 'assistant', content: text(980), n: i });
const listOf = (length, make) => Array.from({ length }, (_, i) => make(i));
/** Of a list: a new one with other objects in some places, all others the very same. */
const replaced = (list, at, item) => list.map((old, i) => (at.includes(i) ? item(i) : old));
const ten = (k, length) => listOf(10, (j) => (k * 10 + j) % length);

function agent(change) {
  const state = agentState(64_000);
  return [state, (k) => change(state, k) ?? state];
}

/** Each gives the first state and what makes the next: the same object changed, or another. */
export const shapes = {
  "an agent's state: 81 messages with metadata, one changed in place": {
    make: () =>
      agent(({ channel_values: { messages, scratch } }, k) => {
        scratch.cursor = k;
        messages[(k * 7) % messages.length].content = text(1000);
      }),
  },
  'the same, through run.checkpoint': {
    asRun: true,
    make: () =>
      agent(({ channel_values: { messages, scratch } }, k) => {
        scratch.cursor = k;
        messages[(k * 7) % messages.length].content = text(1000);
      }),
  },
  'the same, all of it a copy each time': {
    make: () =>
      agent((state, k) => {
        const { messages } = state.channel_values;
        messages[(k * 7) % messages.length].content = text(1000);
        return JSON.parse(JSON.stringify(state));
      }),
  },
  'the same, new objects where it changed (immutable)': {
    immutable: true,
    make: () => {
      let state = agentState(64_000);
      return [
        state,
        (k) => {
          const { messages, scratch } = state.channel_values;
          const next = replaced(messages, [(k * 7) % messages.length], (i) => ({
            ...messages[i],
            content: text(1000),
          }));
          return (state = {
            ...state,
            channel_values: {
              ...state.channel_values,
              messages: next,
              scratch: { ...scratch, cursor: k },
            },
          });
        },
      ];
    },
  },
  '640 small messages, ten replaced': {
    make: () => {
      const list = listOf(640, small);
      return [
        { list },
        (k) => {
          for (const at of ten(k, 640)) list[at] = { role: 'user', content: text(60), n: k };
          return { list };
        },
      ];
    },
  },
  'the same (immutable)': {
    immutable: true,
    make: () => {
      let list = listOf(640, small);
      return [
        { list },
        (k) => ({
          list: (list = replaced(list, ten(k, 640), () => ({
            role: 'user',
            content: text(60),
            n: k,
          }))),
        }),
      ];
    },
  },
  '64 messages of 1 KiB': {
    make: () => {
      const list = listOf(64, large);
      return [
        { list },
        (k) => {
          list[(k * 7) % 64] = { role: 'user', content: text(980), n: k };
          return { list };
        },
      ];
    },
  },
  '64 messages of 1 KiB (immutable)': {
    immutable: true,
    make: () => {
      let list = listOf(64, large);
      return [
        { list },
        (k) => ({
          list: (list = replaced(list, [(k * 7) % 64], () => ({
            role: 'user',
            content: text(980),
            n: k,
          }))),
        }),
      ];
    },
  },
  '64 fields of 1 KiB': {
    make: () => {
      const state = {};
      for (let i = 0; i < 64; ++i) state[`part${i}`] = text(1024);
      return [
        state,
        (k) => {
          state[`part${k % 64}`] = text(1024);
          return state;
        },
      ];
    },
  },
  'one text of 64 KiB, 1 KiB replaced': {
    make: () => {
      const state = { text: text(65_536) };
      return [
        state,
        (k) => {
          const at = (k * 7919) % 64_512;
          state.text = flat(state.text.slice(0, at) + text(1024) + state.text.slice(at + 1024));
          return state;
        },
      ];
    },
  },
  'the same, 1 KiB inserted': {
    make: () => {
      const state = { text: text(65_536) };
      return [
        state,
        (k) => {
          // It grows by 1 KiB a step, and is cut to 64 KiB every ten.
          if (k % 10 === 0) state.text = flat(state.text.slice(0, 65_536));
          const at = (k * 7919) % 64_512;
          state.text = flat(state.text.slice(0, at) + text(1024) + state.text.slice(at));
          return state;
        },
      ];
    },
  },
  'one typed array of 64 KiB': {
    make: () => {
      const state = { bytes: new Uint8Array(Buffer.from(text(65_536))) };
      return [
        state,
        (k) => {
          state.bytes.set(Buffer.from(text(1024)), (k * 7919) % 64_512);
          return state;
        },
      ];
    },
  },
};
