// Of lib/run/, as in durable-runs.mjs: what is wrong with leases, and with who was replaced.
export default [
  [
    'a driver whose lease has run out counts as alive',
    'holder.ts',
    '&& «record.until > monotonicMs()» && this.#mayRenew(record)',
    'true',
  ],
  [
    'a lease of before the pool was opened counts',
    'holder.ts',
    'if («incarnation !== this.#incarnation») return false;',
    'false',
  ],
  [
    'a lease outlives its handle',
    'holder.ts',
    'return «handle === undefined || this.pool.readOnly || this.pool.isOpen(handle)»;',
    'true',
  ],
  [
    'a lease of a thread that was terminated is kept for ever',
    'holder.ts',
    'if («!this.#mayRenew(record)») batch.delete',
    'record.incarnation !== this.#incarnation',
  ],
  [
    "another handle's lease is forgotten",
    'holder.ts',
    'if («!this.#mayRenew(record)») batch.delete',
    'id !== this.id',
  ],
  [
    'a driver goes on in a later run of the same id',
    'holder.ts',
    'if («former») this.#replaced.add',
    'false',
  ],
  [
    'who is replaced gives back what another drives',
    'writer.ts',
    'if (this.journals.pool.closed || «this.isReplaced()») return true;',
    'false',
  ],
  [
    'what found no room is not given back later',
    'holder.ts',
    '«this.#givingBack.push(giveBack);»',
    '',
  ],
  [
    'a handle drives a run twice',
    'holder.ts',
    'return «this.#driving.has(run) || this.#beginning.has(run)»;',
    'false',
  ],
  [
    'a lease is renewed when it has run out',
    'holder.ts',
    'if («this.#until - now > this.leaseMs / 2») return;',
    'this.#until > now',
  ],
  [
    'a commit that failed has vouched for the lease',
    'holder.ts',
    '«this.#vouched = now + this.leaseMs;»',
    'this.#until = this.#vouched = now + this.leaseMs;',
  ],
  [
    'a lease that ends stays',
    'holder.ts',
    "«this.#records.deleteSync(this.id, { durability: 'eventual' });»",
    '',
  ],
];
