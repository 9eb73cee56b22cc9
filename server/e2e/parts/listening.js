'use strict'
const { pause, until } = require('../wait')

exports.listening = async ({ a, b, say }) => {
  const log = []
  a.listenRecord('li/.*', (match, on) => { log.push([match, on]) })
  a.listenEvent('le/.*', (match, on) => { log.push([match, on]) })
  const has = []
  const r = await b.record('li/1')
  r.provider((v) => has.push(v))
  await until('a record provider', () => log.length === 1)
  await until('the news of a provider', () => has.includes(true))
  const f = () => {}
  b.subscribe('le/1', f)
  await until('an event provider', () => log.length === 2)
  b.unsubscribe('le/1', f)
  await until('the end of an event, after ' + JSON.stringify(log), () => log.length === 3)
  await r.discard()
  await until('the end of a record, after ' + JSON.stringify(log), () => log.length === 4)
  say('listening', log)
  a.unlistenEvent('le/.*')
}

// rejected: of two that listen the one that accepts provides, whoever is asked
// first; when it stops listening, there is no provider.
exports.rejected = async ({ a, b, c, say }) => {
  const asked = { a: 0, c: [] }
  a.listenRecord('lr/.*', () => { asked.a++; return false })
  c.listenRecord('lr/.*', (match, on) => { asked.c.push([match, on]) })
  await pause(100)
  const has = []
  const r = await b.record('lr/1')
  r.provider((v) => has.push(v))
  await until('one that accepts', () => asked.c.length === 1)
  await until('the news of a provider', () => has.includes(true))
  say('rejected by one', asked.c)
  c.unlistenRecord('lr/.*')
  await until('the news of its end', () => has[has.length - 1] === false)
  say('without a provider', has)
}

// own: who listens is asked for what it is itself subscribed to.
exports.own = async ({ a, say }) => {
  const log = []
  a.listenEvent('lo/.*', (match, on) => { log.push([match, on]) })
  await pause(100)
  a.subscribe('lo/1', () => {})
  await until('a match of its own', () => log.length === 1)
  say('own match', log)
}
