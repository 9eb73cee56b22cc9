'use strict'
// Sessions of deepstream clients 1, 2 and 7 in turn, each on its default transports,
// that live until they are told to end: `node clients/fleet.js URL COUNT`. Every one
// subscribes to an event, provides a procedure and holds a record that it shares
// with others; its partner is the next session. Commands come as lines on stdin,
// each is answered by a line of JSON on stdout:
//
//   round    every session sends its partner an event and calls it, writes to its
//            record and waits until another holder of it has seen that:
//            {sessions, failed, errors}
//   verify   reads every record anew and looks for what was acknowledged:
//            {records, lost, apart, errors}; apart counts holders with other data
//   present  who is there, as clients 2 and 7 say: {users: [fewest, most]}
//   state    {open, reconnects, acknowledged}

const path = require('path')
const readline = require('readline')
const clients = require(path.join('..', '..', '..', '..', 'server', 'e2e', 'clients'))

const [url, count] = [process.argv[2], Number(process.argv[3])]
const generations = ['1', '2', '7']
const holders = 6 // of a record
const roundLimit = Number(process.env.ROUND_LIMIT_MS || 15000)
const options = { reconnectIntervalIncrement: 500, maxReconnectInterval: 2000, maxReconnectAttempts: 200 }
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
    const c = clients[this.generation](url, options)
    this.api = c
    c.client.on('connectionStateChanged', state => { if (state === 'RECONNECTING') this.reconnects++ })
    await c.login({ username: 'user' + this.number })
    c.subscribe('to/' + this.number, ({ from, round }) => this.heard.set(from, round))
    c.provide('double/' + this.number, (n, response) => response.send(2 * n))
    this.record = await c.record('shared/' + Math.floor(this.number / holders))
  }

  isOpen () { return this.api.client.getConnectionState() === 'OPEN' }

  // round has the session talk to its partner.
  async round (number, partner, holder) {
    const limit = Date.now() + roundLimit
    const again = async (what, f) => { // a client gives up sooner than a fleet recovers
      for (;;) {
        try { return await f() } catch (err) {
          if (Date.now() > limit) throw new Error(what + ': ' + err.message)
          await new Promise(resolve => setTimeout(resolve, 200))
        }
      }
    }
    const own = 's' + this.number
    const event = setInterval(() => this.api.emit('to/' + partner.number, { from: this.number, round: number }), 1000)
    try {
      this.api.emit('to/' + partner.number, { from: this.number, round: number })
      const answer = await again('call', () => this.api.call('double/' + partner.number, number))
      if (answer !== 2 * number) throw new Error('called ' + partner.number + ' and got ' + JSON.stringify(answer))
      if (this.api.features.ack) {
        await again('write', () => this.record.setWithAck(own, number))
        this.acknowledged = number
      } else {
        this.record.set(own, number)
      }
      await until('the event of ' + this.number, () => partner.heard.get(this.number) >= number, limit)
      await until('the write of ' + this.number, () => holder.record.get(own) >= number, limit)
    } finally {
      clearInterval(event)
    }
  }
}

const sessions = Array.from({ length: count }, (_, i) => new Session(i))
const next = s => sessions[(s.number + 1) % count]
// other is another holder of the session's record.
const other = s => {
  const first = s.number - s.number % holders
  const n = Math.min(holders, count - first)
  return sessions[first + (s.number + 1 - first) % n]
}

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
  round: () => { rounds++; return all(s => s.round(rounds, next(s), other(s))) },
  verify: async () => {
    const result = { records: 0, lost: 0, apart: 0, errors: [] }
    const note = text => { if (result.errors.length < errorsKept) result.errors.push(text) }
    const same = (a, b) => Object.keys(a).length === Object.keys(b).length && Object.keys(a).every(k => a[k] === b[k])
    for (let first = 0; first < count; first += holders) {
      result.records++
      const group = sessions.slice(first, first + holders)
      const name = 'shared/' + first / holders
      const stored = await sessions[2 % count].api.snapshot(name)
      for (const s of group) {
        const have = stored['s' + s.number]
        if (s.acknowledged >= 0 && !(have >= s.acknowledged)) {
          result.lost++
          note(`${name}: session ${s.number} was told that ${s.acknowledged} is written, stored is ${have}`)
        }
        if (!same(s.record.get(), stored)) {
          result.apart++
          note(`${name}: session ${s.number}, client ${s.generation}, has ${JSON.stringify(s.record.get())}, stored is ${JSON.stringify(stored)}`)
        }
      }
    }
    return result
  },
  present: async () => {
    const answers = await Promise.all(sessions.filter(s => s.api.features.presence).map(s => s.api.present()))
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
