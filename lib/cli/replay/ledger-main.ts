/** The ledger's process; `argv` is the replay's folder. Ends when its parent does. */
import { Ledger, LedgerServer } from './ledger';
import type { LedgerToParent, ParentToLedger } from './protocol';
import { readConfig, socketOf } from './tape';

function main(folder: string): void {
  const tell = (message: LedgerToParent) => void process.send?.(message);
  process.on('disconnect', () => process.exit(0));
  const config = readConfig(folder);
  const server = new LedgerServer(new Ledger(config), tell);
  process.on('message', (message) => server.hear(message as ParentToLedger));
  server.listen(socketOf(config));
}

main(process.argv[2] ?? '.');
