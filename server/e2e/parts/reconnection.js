'use strict'
const { until } = require('../wait')

// reconnection: a client that lost its connection has everything back by itself.
// Client 7 asks for the versions of its records in one message and reads only what
// has changed; the others read everything.
exports.reconnection = async ({ a, b, say }) => {
  const records = await Promise.all(['back/1', 'back/2', 'back/3'].map((name) => b.record(name)))
  records.forEach((r, i) => r.set('n', i))
  const theirs = await Promise.all(['back/1', 'back/2', 'back/3'].map((name) => a.record(name)))
  await until('the values', () => theirs.every((r, i) => r.get('n') === i))
  const got = []
  b.subscribe('back', (data) => got.push(data))
  b.provide('back', (data, response) => response.send('here'))
  await until('an event and a provider', () => { a.emit('back', 'first'); return got.length > 0 })
  b.cut()
  theirs[1].set('n', 'changed')
  await until('an event, once more', () => { a.emit('back', 'second'); return got.includes('second') })
  await until('a value that changed', () => records[1].get('n') === 'changed')
  await until('an answer', () => a.call('back', null).then((answer) => answer === 'here', () => false))
  // Client 7 drops what is written between its return and the answer that tells it
  // the versions of its records.
  await until('what is written afterwards', () => {
    if (records[2].get('m') !== 'written') records[2].set('m', 'written')
    return theirs[2].get('m') === 'written'
  })
  // A write that was repeated may still be on its way.
  await until('the same versions', () => records.every((r, i) => r.version() === theirs[i].version()))
  say('reconnected', records.map((r) => r.get()), records.every((r, i) => r.version() === theirs[i].version()))
}
