'use strict'
// Sessions of deepstream clients 1, 2 and 7 in turn, each on its default transports,
// that live until they are told to end: `node clients/fleet.js URL COUNT [PREFIX
// [quick]]`, the prefix being that of all names they use. Every one subscribes to an
// event, provides a procedure, and writes a record that its partner, the next session,
// follows. (Two writers of one record would meet the clients' merge strategies, which
// drop writes.) Commands come as lines on stdin, each is answered by a line of JSON on
// stdout:
//
//   round    every session sends its partner an event and calls it, writes its
//            record and waits until the partner has it: {sessions, failed, errors}
//   talk     the same without the record: {sessions, failed, errors}
//   write    all that can have a write acknowledged write their record, once:
//            {acknowledged, refused, unanswered}
//   verify   reads every record anew and looks for what was acknowledged:
//            {records, lost, apart, errors}; apart counts those who have other data
//   present  who is there, as clients 2 and 7 say: {users: [fewest, most]}
//   state    {open, reconnects, acknowledged}

const path = require('path')
const readline = require('readline')
const { connect } = require(path.join('..', '..', '..', '..', 'server', 'e2e', 'clients'))

const [url, count, prefix] = [process.argv[2], Number(process.argv[3]), process.argv[4] || '']
const generations = ['1', '2', '7']
const roundLimit = Number(process.env.ROUND_LIMIT_MS || 15000)
// quick reconnects sooner and for longer than clients do by themselves.
const options = process.argv[5] === 'quick' ? { reconnectIntervalIncrement: 500, maxReconnectInterval: 2000, maxReconnectAttempts: 200 } : {}
const errorsKept = 8

const say = what => process.stdout.write(JSON.stringify(what) + '\n')

async function until (what, condition, limit) {
  while (!condition()) {
    if (Date.now() > limit) throw new Error('waited in vain for ' + what)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

class Session {
  constructor (number) {
    this.number = number
    this.generation = generations[number % generations.length]
    this.heard = new Map() // of events, by sender
    this.reconnects = 0
    this.acknowledged = -1
  }

  // open is done when the session has everything it needs.
  async open () {
    const c = connect(this.generation, url, options)
    this.api = c
    c.client.on('connectionStateChanged', state => { if (state === 'RECONNECTING') this.reconnects++ })
    await c.login({ username: prefix + 'user' + this.number })
    c.subscribe(prefix + 'to/' + this.number, ({ from, round }) => this.heard.set(from, round))
    c.provide(prefix + 'double/' + this.number, (n, response) => response.send(2 * n))
    this.record = await c.record(prefix + 'of/' + this.number)
    this.followed = await c.record(prefix + 'of/' + (this.number + count - 1) % count)
  }

  isOpen () { return this.api.client.getConnectionState() === 'OPEN' }

  // round has the session talk to its partner, and write its record if it is to.
  async round (number, partner, writes) {
    const limit = Date.now() + roundLimit
    const again = async (what, f) => { // a client gives up sooner than a fleet recovers
      for (;;) {
        try { return await f() } catch (err) {
          if (Date.now() > limit) throw new Error(what + ': ' + err.message)
          await new Promise(resolve => setTimeout(resolve, 200))
        }
      }
    }
    // What is not acknowledged may be lost with a connection, and is said again.
    let written = number
    const write = () => { written += 0.001; this.record.set('round', written) }
    const repeat = setInterval(() => {
      if (!(partner.heard.get(this.number) >= number)) this.api.emit(prefix + 'to/' + partner.number, { from: this.number, round: number })
      if (writes && !this.api.can('ack') && this.isOpen() && !(partner.followed.get('round') >= number)) write()
    }, 1000)
    try {
      this.api.emit(prefix + 'to/' + partner.number, { from: this.number, round: number })
      const answer = await again('call', () => this.api.call(prefix + 'double/' + partner.number, number))
      if (answer !== 2 * number) throw new Error('called ' + partner.number + ' and got ' + JSON.stringify(answer))
      if (writes && this.api.can('ack')) {
        // To try again is to write something else: client 7 takes a value that it
        // has already for acknowledged, though it was offline when it got it.
        // Client 2 calls a write acknowledged that the node has refused for its
        // version, and that it has dropped for what is stored.
        await again('write', async () => {
          written += 0.001
          await this.record.setWithAck('round', written)
          if (this.record.get('round') !== written) throw new Error('dropped for another version')
        })
        this.acknowledged = written
      } else if (writes) {
        write()
      }
      await until('the event of ' + this.number, () => partner.heard.get(this.number) >= number, limit)
      if (writes) await until('the write of ' + this.number, () => partner.followed.get('round') >= number, limit)
    } finally {
      clearInterval(repeat)
    }
  }
}

const sessions = Array.from({ length: count }, (_, i) => new Session(i))
const next = s => sessions[(s.number + 1) % count]

async function all (f) {
  const result = { sessions: count, failed: 0, errors: [] }
  await Promise.all(sessions.map(s => f(s).catch(err => {
    result.failed++
    if (result.errors.length < errorsKept) result.errors.push(`session ${s.number}, client ${s.generation}: ${err.message}`)
  })))
  return result
}

let rounds = 0
const commands = {
  open: () => all(s => s.open()),
  round: () => { rounds++; return all(s => s.round(rounds, next(s), true)) },
  talk: () => { rounds++; return all(s => s.round(rounds, next(s), false)) },
  write: async () => {
    rounds++
    const written = rounds
    const result = { acknowledged: 0, refused: 0, unanswered: 0 }
    await Promise.all(sessions.filter(s => s.api.can('ack')).map(async s => {
      try {
        await s.record.setWithAck('round', written)
        s.acknowledged = written
        result.acknowledged++
      } catch (err) {
        result[err.message.startsWith('no answer') ? 'unanswered' : 'refused']++
      }
    }))
    return result
  },
  verify: async () => {
    const result = { records: 0, lost: 0, apart: 0, errors: [] }
    const note = text => { if (result.errors.length < errorsKept) result.errors.push(text) }
    for (const s of sessions) {
      result.records++
      const name = prefix + 'of/' + s.number
      const stored = await sessions[2 % count].api.snapshot(name)
      if (s.acknowledged >= 0 && !(stored.round >= s.acknowledged)) {
        result.lost++
        note(`${name}: client ${s.generation} was told that ${s.acknowledged} is written, stored is ${stored.round}`)
      }
      // Clients 1 and 2 that write while they connect anew may take the answer to
      // their reading, which came before the write, for newer than it; the node,
      // which has acknowledged the write, cannot know.
      const copies = [[next(s), next(s).followed]]
      if (s.generation === '7') copies.push([s, s.record])
      for (const [who, copy] of copies) {
        if (copy.get('round') !== stored.round) {
          result.apart++
          note(`${name}: session ${who.number}, client ${who.generation}, has ${copy.get('round')}, stored is ${stored.round}`)
        }
      }
    }
    return result
  },
  present: async () => {
    const answers = await Promise.all(sessions.filter(s => s.api.can('presence')).map(s => s.api.present()))
    const numbers = answers.map(users => users.length)
    return { users: [Math.min(...numbers), Math.max(...numbers)] }
  },
  state: async () => ({
    open: sessions.filter(s => s.isOpen()).length,
    reconnects: sessions.reduce((n, s) => n + s.reconnects, 0),
    acknowledged: sessions.filter(s => s.acknowledged >= 0).length
  })
}

process.on('unhandledRejection', reason => process.stderr.write('unhandled: ' + (reason && reason.message) + '\n'))
readline.createInterface({ input: process.stdin })
  .on('line', async line => {
    try { say(await commands[line]()) } catch (err) { say({ failed: count, errors: [String(err && err.message)] }) }
  })
  .on('close', () => process.exit(0))
