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

// events: the same for events, where subscribers hear nothing of it; a listener that
// stops has its names provided by another one.
exports.events = async ({ a, b, c, say }) => {
  const asked = { a: 0, c: [] }
  a.listenEvent('lx/.*', () => { asked.a++; return false })
  c.listenEvent('lx/.*', (match, on) => { asked.c.push([match, on]) })
  await pause(100)
  b.subscribe('lx/1', () => {})
  await until('one that accepts', () => asked.c.length === 1)
  say('event rejected by one', asked.c)
  a.unlistenEvent('lx/.*')
  const heirs = []
  a.listenEvent('lx/1', (match, on) => { heirs.push([match, on]) })
  await pause(100)
  c.unlistenEvent('lx/.*')
  await until('another provider', () => heirs.length === 1)
  say('taken over', heirs)
  a.unlistenEvent('lx/1')
}

// silent: a listener that does not answer is passed over when its time is up. Which
// of the two is asked first is left to chance, so there are many names.
exports.silent = async ({ a, b, c, say }) => {
  const names = Array.from({ length: 16 }, (_, i) => 'ls/' + i)
  const asked = { a: 0, c: [] }
  const errors = a.errors.length
  a.listenRecord('ls/.*', () => { asked.a++; return 'nothing' })
  c.listenRecord('ls/.*', (match, on) => { asked.c.push(match) })
  await pause(100)
  const has = []
  const records = await Promise.all(names.map((name) => b.record(name)))
  records.forEach((r, i) => r.provider((v) => has.push([names[i], v])))
  await until('a provider of each', () => asked.c.length === names.length && has.length === names.length)
  say('silent listener', asked.a > 0, asked.c.sort().join() === [...names].sort().join(), has.every(([, v]) => v === true))
  a.unlistenRecord('ls/.*')
  if (!a.can('listenTimeout')) return
  // It is told each time that its time is up, and does not know the word.
  const told = (e) => e === 'UNSOLICITED_MESSAGE RECORD '
  await until('the last of these', () => a.errors.slice(errors).filter(told).length === asked.a)
  a.errors.splice(errors, Infinity, ...a.errors.slice(errors).filter((e) => !told(e)))
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
