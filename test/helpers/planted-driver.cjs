// Drivers with a planted mistake, which the verifier must find. HOLDFAST_PLANTED names the mistake.
const { readFileSync } = require('node:fs');
const { join } = require('node:path');

const { honestTurns, main } = require('../../dist/cli/replay/driver.js');

const world = () => JSON.parse(readFileSync(join(process.argv[2], 'world.json'), 'utf8')).flat();

const planted = {
  // The effect is performed in a plain step: nothing says that it was begun.
  'no-intent': {
    ...honestTurns,
    call: (run, turn, outside) =>
      run.step(turn.name, () => outside.perform(`${run.id}-${turn.call}-${process.pid}`)),
  },
  // The receipt is committed first, then the effect is performed.
  'receipt-first': {
    ...honestTurns,
    async call(run, turn, outside) {
      let fresh = false;
      const answer = await run.step(turn.name, () => {
        fresh = true;
        return world().find(({ args }) => args === turn.args).answer;
      });
      if (fresh) await outside.perform(`${run.id}-${turn.call}`);
      return answer;
    },
  },
  // An effect is called again without asking whether it happened.
  'no-probe': {
    ...honestTurns,
    call: (run, turn, outside) =>
      run.tool(
        turn.name,
        turn.args,
        (_args, { idempotencyKey }) => outside.perform(idempotencyKey),
        {
          safety: 'idempotent',
        },
      ),
  },
  // Nobody gives the tools a probe.
  'cannot-tell': {
    ...honestTurns,
    call: (run, turn, outside) =>
      run.tool(
        turn.name,
        turn.args,
        (_args, { idempotencyKey }) => outside.perform(idempotencyKey),
        {
          safety: turn.safety,
        },
      ),
  },
  // Now and then a message is said and not committed.
  forgetful: {
    ...honestTurns,
    say: (run, role, produce) =>
      role === 'user' && run.id.endsWith('2') ? produce() : honestTurns.say(run, role, produce),
  },
};

void main(planted[process.env.HOLDFAST_PLANTED]);
