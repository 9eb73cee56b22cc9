'use strict'
// node script.js <url> <generation of client a> <generation of client b> [options]
// plays every feature that both clients have and prints what they saw, one JSON
// array a line; the last line says done.
const clients = require('./clients')

const [url, genA, genB, rawOptions] = process.argv.slice(2)
const options = rawOptions ? JSON.parse(rawOptions) : {}
const say = (...what) => console.log(JSON.stringify(what))

// until waits for a condition and fails loudly.
async function until (what, condition) {
  const end = Date.now() + 8000
  while (!condition()) {
    if (Date.now() > end) throw new Error('waited in vain for ' + what)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

const failure = (promise) => promise.then((v) => 'no error but ' + JSON.stringify(v), (e) => e.message)

async function events (a, b) {
  const got = []
  const f = (data) => got.push(data)
  b.subscribe('news', f)
  // A subscription has no public answer: emit until it shows.
  await until('a subscription', () => { a.emit('news', 'hello?'); return got.length > 0 })
  a.emit('news', 'first')
  await until('the first event', () => got.includes('first'))
  const from = got.length
  const values = ['text', 'umlaut ü € 😀', 12.5, -3, true, false, null, { a: [1, { b: 'c' }] }, [], '']
  values.forEach((v) => a.emit('news', v))
  await until('all events', () => got.length >= from + values.length)
  say('events', got.slice(from))
  b.unsubscribe('news', f)
}

async function records (a, b) {
  const ra = await a.record('rec')
  const rb = await b.record('rec')
  say('new', ra.get(), rb.get())
  const seen = []
  rb.subscribe((data) => seen.push(data))
  ra.set({ name: 'Ada', tags: ['x'] })
  await until('a whole value', () => rb.get('name') === 'Ada')
  ra.set('deep.list[2].leaf', 7)
  await until('a path', () => rb.get('deep.list[2].leaf') === 7)
  rb.set('name', 'Grace ü')
  await until('a path from b', () => ra.get('name') === 'Grace ü')
  say('record', ra.get(), rb.get(), ra.version() === rb.version())
  say('seen', seen)
  say('snapshot', await a.snapshot('rec'), await b.has('rec'), await b.has('never'))
  say('missing', await failure(a.snapshot('never')))
  if (a.features.ack) {
    await ra.setWithAck('acked', 1)
    await until('an acknowledged write', () => rb.get('acked') === 1)
    await a.upsert('upserted', { n: 1 })
    say('upserted', await b.snapshot('upserted'))
  }
  const gone = new Promise((resolve) => rb.onDelete(resolve))
  await ra.delete()
  await gone
  say('deleted', await a.has('rec'))
}

async function conflict (a, b) {
  const ra = await a.record('both')
  const rb = await b.record('both')
  ra.set('n', 0)
  await until('a start', () => rb.get('n') === 0)
  for (let i = 0; i < 20; i++) {
    ra.set('a', i)
    rb.set('b', i)
  }
  // A client whose merges crossed on the way only notices at the next update.
  const agree = () => ra.version() === rb.version() && JSON.stringify(ra.get()) === JSON.stringify(rb.get())
  for (let i = 0; i < 20 && !agree(); i++) {
    await new Promise((resolve) => setTimeout(resolve, 100))
    if (!agree()) ra.set('nudge', i)
  }
  await until('agreement', agree)
  const stored = await a.snapshot('both')
  say('agreed', JSON.stringify(stored) === JSON.stringify(ra.get()))
}

async function lists (a, b) {
  const la = await a.list('list')
  const lb = await b.list('list')
  la.add('one')
  await until('an entry', () => lb.entries().length === 1)
  lb.add('two')
  await until('two entries', () => la.entries().length === 2)
  say('list', la.entries())
}

async function calls (a, b) {
  b.provide('sum', (data, response) => response.send(data.x + data.y))
  b.provide('fail', (data, response) => response.error('broken'))
  b.provide('refuse', (data, response) => response.reject())
  let answer
  for (let i = 0; i < 200 && answer === undefined; i++) {
    answer = await a.call('refuse', null).then(() => 'answered', (e) => e.message)
    if (answer !== 'NO_RPC_PROVIDER') throw new Error(answer)
  }
  await until('a provider', () => true)
  for (let i = 0; ; i++) {
    const r = await a.call('sum', { x: 2, y: 40 }).catch((e) => e.message)
    if (r === 'NO_RPC_PROVIDER' && i < 200) { await new Promise((resolve) => setTimeout(resolve, 10)); continue }
    say('call', r)
    break
  }
  say('call fails', await failure(a.call('fail', {})))
  say('call refused', await failure(a.call('refuse', {})))
  say('nobody', await failure(a.call('nobody', {})))
  say('self', await b.call('sum', { x: 1, y: 1 }))
}

async function listening (a, b) {
  const log = []
  a.listenRecord('li/.*', (match, on) => { log.push([match, on]) })
  a.listenEvent('le/.*', (match, on) => { log.push([match, on]) })
  const has = []
  await new Promise((resolve) => setTimeout(resolve, 100))
  const r = await b.record('li/1')
  r.provider((v) => has.push(v))
  await until('a record provider', () => log.length === 1)
  await until('the news of a provider', () => has.includes(true))
  const f = () => {}
  b.subscribe('le/1', f)
  await until('an event provider', () => log.length === 2)
  b.unsubscribe('le/1', f)
  await until('the end of an event, after ' + JSON.stringify(log), () => log.length === 3)
  say('listening', log)
}

async function presence (a, b) {
  if (!a.features.presence || !b.features.presence) return
  const log = []
  a.onPresence((user, on) => log.push([user, on]))
  say('present', await a.present())
  const c = clients[genB](url, options)
  await until('a first sight', () => true)
  await new Promise((resolve) => setTimeout(resolve, 200))
  await c.login({ username: 'carol' })
  await until('a join', () => log.length === 1)
  c.close()
  await until('a leave', () => log.length === 2)
  say('presence', log)
}

async function main () {
  const a = clients[genA](url, options)
  const b = clients[genB](url, options)
  await a.login({ username: 'alice' })
  await b.login({ username: 'bob' })
  for (const part of [events, records, conflict, lists, calls, listening, presence]) {
    await part(a, b)
  }
  const expected = /VERSION_EXISTS|ACK_TIMEOUT P/
  say('errors', a.errors.filter((e) => !expected.test(e)), b.errors.filter((e) => !expected.test(e)))
  a.close()
  b.close()
  say('done')
  setTimeout(() => process.exit(0), 50)
}

main().catch((e) => { console.error(e); process.exit(1) })
