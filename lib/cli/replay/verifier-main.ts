/**
 * A fresh process that opens the pool after everything, parses the recording anew and asks the
 * ledger, to compare them.
 */
import { HoldfastError } from '../../errors';
import { open } from '../../index';
import { readJournal } from '../../run/index';
import type { PoolCore } from '../../types';
import { readRecording } from './conversation';
import { LedgerClient } from './ledger-client';
import type { VerifierToParent } from './protocol';
import { readConfig, socketOf } from './tape';
import { Verifier } from './verifier';

async function verify(
  folder: string,
  generation: number,
  tell: (message: VerifierToParent) => void,
) {
  const config = readConfig(folder);
  const ledger = await LedgerClient.connect(socketOf(config), generation);
  const recording = readRecording(config.input);
  const pool: PoolCore = await open(config.pool, { medium: config.medium, create: 'never' });
  const { medium, durability } = pool;
  tell({ kind: 'opened', medium, class: durability.class, reason: durability.reason });
  const verifier = new Verifier(recording, await ledger.performances());
  recording.conversations.forEach((conversation, index) => {
    verifier.compare(index, conversation, readJournal(pool, conversation.id));
  });
  const { damages } = await pool.check();
  tell({ kind: 'verdict', ...verifier.verdict(damages) });
  ledger.close();
  await pool.close();
}

async function main(): Promise<void> {
  const tell = (message: VerifierToParent) => void process.send?.(message);
  try {
    await verify(process.argv[2] ?? '.', Number(process.argv[3]), tell);
  } catch (error) {
    const code = error instanceof HoldfastError ? error.code : '';
    tell({ kind: 'failed', code, message: error instanceof Error ? error.message : String(error) });
    process.exitCode = 1;
  }
  process.disconnect?.();
}

void main();
