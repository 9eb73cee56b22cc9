'use strict'
const { until } = require('../wait')

// subscribed resolves when the events of a reach f: a subscription has no answer
// that the clients show.
async function subscribed (a, b, name, f) {
  let heard = false
  b.subscribe(name, (data) => { if (data === 'hello?') heard = true; else f(data) })
  await until('a subscription to ' + name, () => { a.emit(name, 'hello?'); return heard })
}

exports.values = async ({ a, b, say }) => {
  const got = []
  await subscribed(a, b, 'news', (data) => got.push(data))
  const values = ['text', 'umlaut ü € 😀', 12.5, -3, true, false, null, { a: [1, { b: 'c' }] }, [], '']
  values.forEach((v) => a.emit('news', v))
  await until('all events', () => got.length >= values.length)
  say('events', got)
}

exports.unsubscribe = async ({ a, b, say }) => {
  const got = []
  const f = (data) => got.push(data)
  b.subscribe('left', f)
  await until('a subscription', () => { a.emit('left', 'before'); return got.length > 0 })
  b.unsubscribe('left', f)
  // What is subscribed to afterwards on the same connection is in force later.
  await subscribed(a, b, 'behind', () => {})
  const from = got.length
  a.emit('left', 'after')
  let passed = false
  b.subscribe('behind', (data) => { if (data === 'end') passed = true })
  await until('what follows', () => { a.emit('behind', 'end'); return passed })
  say('unsubscribed', got.slice(from))
}

// bulk subscribes to many names at once, which client 7 sends in one message.
exports.bulk = async ({ a, b, say }) => {
  const got = new Set()
  const names = Array.from({ length: 500 }, (_, i) => 'bulk/' + i)
  names.forEach((name) => b.subscribe(name, () => got.add(name)))
  await until('every one of many subscriptions', async () => {
    names.filter((name) => !got.has(name)).forEach((name) => a.emit(name, 1))
    await new Promise((resolve) => setTimeout(resolve, 50))
    return got.size === names.length
  })
  say('bulk events', got.size)
}
