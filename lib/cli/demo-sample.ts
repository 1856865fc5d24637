/**
 * The recording `holdfast demo` replays: eight invented conversations with the help desk of an
 * invented bicycle library. In the shape of recorded agent conversations: chat messages, tool
 * calls, tool results.
 */

interface SampleMessage {
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly content: string | null;
  readonly tool_calls?: readonly {
    readonly id: string;
    readonly type: 'function';
    readonly function: { readonly name: string; readonly arguments: string };
  }[];
  readonly tool_call_id?: string;
  readonly name?: string;
}

export interface SampleConversation {
  readonly title: string;
  readonly messages: readonly SampleMessage[];
}

const POLICY =
  'You are the help desk of the Kettle Lane Bicycle Library. Members borrow bicycles for up to 14 days. ' +
  'Look things up before you answer, ask before you change anything, and say what you did in one sentence.';

const user = (content: string): SampleMessage[] => [{ role: 'user', content }];
const agent = (content: string): SampleMessage[] => [{ role: 'assistant', content }];

let calls = 0;

/** The model asks for a tool, and the tool answers. */
function tool(name: string, args: object, result: unknown): SampleMessage[] {
  calls += 1;
  const id = `call_${String(calls).padStart(3, '0')}`;
  return [
    {
      role: 'assistant',
      content: null,
      tool_calls: [{ id, type: 'function', function: { name, arguments: JSON.stringify(args) } }],
    },
    { role: 'tool', tool_call_id: id, name, content: JSON.stringify(result) },
  ];
}

function conversation(title: string, ...parts: readonly SampleMessage[][]): SampleConversation {
  return { title, messages: [{ role: 'system', content: POLICY }, ...parts.flat()] };
}

export const demoSample: readonly SampleConversation[] = [
  conversation(
    'A cargo bike for Saturday',
    user(
      'Hello, Ada Brandt, member 118. Is there a cargo bike free on Saturday? I have to move a cello.',
    ),
    tool(
      'get_member',
      { member: 118 },
      { member: 118, name: 'Ada Brandt', deposit: 'paid', loans: [] },
    ),
    tool('search_bikes', { kind: 'cargo', day: 'saturday' }, [
      { bike: 'CB-2', box: 'long', brakes: 'disc' },
      { bike: 'CB-5', box: 'short', brakes: 'drum' },
    ]),
    agent(
      'Two are free, Ada: CB-2 with a long box and CB-5 with a short one. A cello fits in CB-2. Shall I reserve it?',
    ),
    user('Yes please, from nine in the morning.'),
    tool(
      'book_bike',
      { bike: 'CB-2', member: 118, from: 'saturday 09:00' },
      { booking: 'B-3401', bike: 'CB-2' },
    ),
    tool(
      'send_message',
      { to: 118, text: 'CB-2 is yours on Saturday at 09:00. Booking B-3401.' },
      { sent: true },
    ),
    agent(
      'CB-2 is reserved for Saturday at nine, booking B-3401. I sent you a message with the number.',
    ),
    user('Lovely, thank you!'),
    agent('You are welcome. Mind the tram rails with that cello.'),
  ),
  conversation(
    'Flat tyre, far from home',
    user('My rear tyre is flat and I am at the lock by the old mill. Booking B-3377.'),
    tool(
      'get_booking',
      { booking: 'B-3377' },
      { booking: 'B-3377', member: 204, bike: 'TR-11', until: 'tuesday' },
    ),
    tool('search_helpers', { near: 'old mill' }, [
      { helper: 'Jonas', minutes: 12 },
      { helper: 'Meret', minutes: 25 },
    ]),
    agent(
      'Sorry to hear it. Jonas can be with you in about 12 minutes with a tube and a pump. Shall I send him?',
    ),
    user('Yes! It is raining.'),
    tool(
      'dispatch_helper',
      { helper: 'Jonas', to: 'old mill', booking: 'B-3377' },
      { dispatched: true, minutes: 12 },
    ),
    tool('create_repair_ticket', { bike: 'TR-11', fault: 'rear puncture' }, { ticket: 'R-90' }),
    agent(
      'Jonas is on his way, and the puncture is noted as R-90, so nobody will charge you for it.',
    ),
  ),
  conversation(
    'Three more days',
    user('Can I keep the tandem until Friday? Booking B-3390.'),
    tool(
      'get_booking',
      { booking: 'B-3390' },
      { booking: 'B-3390', bike: 'TD-1', until: 'tuesday', next: null },
    ),
    tool('calculate', { expression: '11 + 3' }, 14),
    agent(
      'Nobody waits for the tandem, and Friday is day 14, the last one allowed. Shall I extend it?',
    ),
    user('Please do.'),
    tool(
      'update_booking',
      { booking: 'B-3390', until: 'friday' },
      { booking: 'B-3390', until: 'friday' },
    ),
    agent('Done: B-3390 now ends on Friday evening.'),
    user('And could I have a second lamp?'),
    tool(
      'update_booking',
      { booking: 'B-3390', extras: ['lamp'] },
      { booking: 'B-3390', extras: ['lamp'] },
    ),
    agent('A second lamp is on your booking; pick it up at the counter.'),
  ),
  conversation(
    'Never picked up',
    user('I booked a folding bike for tomorrow but I have a fever. Member 77.'),
    tool('list_bookings', { member: 77 }, [
      { booking: 'B-3395', bike: 'FB-4', from: 'tomorrow 08:00' },
    ]),
    agent('Get well soon. Shall I cancel B-3395 and give you your deposit back?'),
    user('Yes, both.'),
    tool('cancel_booking', { booking: 'B-3395' }, { booking: 'B-3395', status: 'cancelled' }),
    tool('issue_refund', { member: 77, cents: 2500 }, { refund: 'F-512', cents: 2500 }),
    tool(
      'send_message',
      { to: 77, text: 'B-3395 is cancelled; 25.00 is on its way back to you.' },
      { sent: true },
    ),
    agent('B-3395 is cancelled and 25.00 goes back to your account as F-512. Sleep well.'),
  ),
  conversation(
    'A child seat, perhaps',
    user('Do you have anything for a four-year-old who refuses to pedal?'),
    tool('think', { thought: 'A seat or a trailer; ask for the weight first.' }, 'ok'),
    agent('We have rear seats up to 22 kg and a trailer up to 40 kg. How heavy is the rider?'),
    user('Nineteen kilos, plus a stuffed whale.'),
    tool('search_bikes', { kind: 'city', extra: 'rear seat' }, [
      { bike: 'CT-7', seat: 'rear', limit_kg: 22 },
    ]),
    agent('CT-7 has a rear seat that carries both of them. Would you like it for the weekend?'),
    user('Let me talk to the whale first.'),
    agent('Of course. CT-7 is free until Sunday; just write again.'),
  ),
  conversation(
    'Wrong bike, right person',
    user('The sticker on my bike says TR-14 but my booking says TR-41?! Member 9.'),
    tool('get_member', { member: 9 }, { member: 9, name: 'Ilse Ōtsuka', loans: ['B-3388'] }),
    tool('get_booking', { booking: 'B-3388' }, { booking: 'B-3388', member: 9, bike: 'TR-41' }),
    tool('find_bike', { bike: 'TR-41' }, { bike: 'TR-41', where: 'rack 3', state: 'ready' }),
    agent(
      'TR-41 still stands in rack 3, so you have TR-14. If it suits you I can simply swap the two in your booking.',
    ),
    user('It suits me very well, it has a bell.'),
    tool(
      'update_booking',
      { booking: 'B-3388', bike: 'TR-14' },
      { booking: 'B-3388', bike: 'TR-14' },
    ),
    tool(
      'create_note',
      { bike: 'TR-14', text: 'Handed out for TR-41; stickers look alike.' },
      { note: 'N-18' },
    ),
    agent('Your booking now says TR-14, and note N-18 asks us to print bigger stickers.'),
  ),
  conversation(
    'Lost key',
    user('I dropped the key of lock 52 into the canal. 😬'),
    tool('get_lock', { lock: 52 }, { lock: 52, bike: 'CT-3', spare_keys: 1 }),
    agent(
      'It happens more often than you think. There is one spare key; a new one costs 8.00. Shall I order it?',
    ),
    user('Yes, and take it from my deposit.'),
    tool('charge_deposit', { lock: 52, cents: 800 }, { charge: 'C-77', cents: 800 }),
    tool('order_key', { lock: 52 }, { order: 'K-31', ready: 'thursday' }),
    tool(
      'send_message',
      { to: 'lock 52', text: 'Spare key at the counter; the new one, K-31, comes on Thursday.' },
      { sent: true },
    ),
    agent(
      '8.00 is taken from the deposit (C-77), key K-31 is ordered, and the spare waits at the counter.',
    ),
  ),
  conversation(
    'Opening hours',
    user('Are you open on the holiday?'),
    tool(
      'get_opening_hours',
      { day: 'holiday' },
      { day: 'holiday', open: '10:00', close: '14:00' },
    ),
    agent('Yes, from ten until two. Returns go through the flap at any time.'),
    user('Great.'),
    agent('See you then.'),
  ),
];
