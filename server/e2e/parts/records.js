'use strict'
const { until, failure } = require('../wait')

exports.record = async ({ a, b, say }) => {
  const ra = await a.record('rec')
  const rb = await b.record('rec')
  say('new', ra.get(), rb.get())
  const seen = []
  rb.subscribe((data) => seen.push(data))
  ra.set({ name: 'Ada', tags: ['x'], old: { a: 1, b: 2 } })
  await until('a whole value', () => rb.get('name') === 'Ada')
  ra.set('deep.list[2].leaf', 7)
  await until('a path', () => rb.get('deep.list[2].leaf') === 7)
  rb.set('name', 'Grace ü')
  await until('a path from b', () => ra.get('name') === 'Grace ü')
  ra.erase('old.a')
  await until('an erased path', () => rb.get('old.a') === undefined)
  rb.erase('old')
  await until('an erased path from b', () => ra.get('old') === undefined)
  say('record', ra.get(), rb.get(), ra.version() === rb.version())
  say('seen', seen)
}

exports.snapshot = async ({ a, c, say }) => {
  say('snapshot', await c.snapshot('rec'), await c.has('rec'), await c.has('never'))
  say('missing', await failure(a.snapshot('never')))
}

exports.head = async ({ b, c, say, able }) => {
  if (!able('head', c, 'head')) return
  const rb = await b.record('rec')
  say('head', await c.head('rec') === rb.version(), await c.head('never'))
}

// bulk asks for many records at once, as client 7 does in one message. Client 1 sends
// 100 names at a time and wants them all acknowledged a second after it was asked.
exports.bulk = async ({ a, b, say }) => {
  const few = [a, b].some((client) => client.generation === '1')
  const names = Array.from({ length: few ? 200 : 2000 }, (_, i) => 'many/' + i)
  const [all, others] = await Promise.all([a, b].map((client) => Promise.all(names.map((name) => client.record(name)))))
  all.forEach((r, i) => r.set('n', i))
  await until('every one of many records', () => others.every((r, i) => r.get('n') === i))
  say('bulk records', others.length === names.length)
}

exports.lists = async ({ a, b, say }) => {
  const la = await a.list('list')
  const lb = await b.list('list')
  la.add('one')
  await until('an entry', () => lb.entries().length === 1)
  lb.add('two')
  await until('two entries', () => la.entries().length === 2)
  say('list', la.entries())
  la.remove('one')
  await until('one entry', () => lb.entries().length === 1)
  say('list, shorter', lb.entries())
}

// discard: who has left a record is told of it no more, and may come back.
exports.discard = async ({ a, b, say }) => {
  const ra = await a.record('left')
  const rb = await b.record('left')
  ra.set('n', 1)
  await until('a value', () => rb.get('n') === 1)
  await rb.discard()
  await b.snapshot('left') // the node has heard of it, which client 7 does not wait for
  ra.set('n', 2)
  await until('the value after a return', async () => (await b.record('left')).get('n') === 2)
  say('discarded', (await b.record('left')).get())
}
