'use strict'
const { until } = require('../wait')

exports.delete = async ({ a, b, c, say }) => {
  const ra = await a.record('rec')
  const rb = await b.record('rec')
  const gone = new Promise((resolve) => rb.onDelete(resolve))
  await ra.delete()
  await gone
  say('deleted', await c.has('rec'))
  const again = await b.record('rec')
  say('and made again', again.get(), again.version())
}

// waiting: everything that is asked about a record that is being deleted is
// answered, by its data or by its absence.
exports.waiting = async ({ a, b, c, say }) => {
  const answers = new Set()
  for (let i = 0; i < 5; i++) {
    const name = 'doomed/' + i
    const ra = await a.record(name)
    ra.set('n', 1)
    await until('a value', () => c.snapshot(name).then((data) => data.n === 1))
    const reads = []
    const ask = () => {
      reads.push(c.snapshot(name).then((data) => data.n === 1 ? 'data' : data.n === undefined ? 'record' : 'other data', (e) => e.message))
      reads.push(c.has(name).then((has) => has === true || has === false ? 'whether' : 'other answer'))
    }
    ask()
    reads.push(ra.delete().then(() => 'deletion'))
    ask()
    const rb = b.record(name).then((r) => r.get('n') === undefined || r.get('n') === 1 ? 'record' : 'other record')
    reads.push(rb)
    for (const answer of await Promise.all(reads)) answers.add(answer)
    await until('absence', () => c.snapshot(name).then((data) => data.n === undefined, () => true))
  }
  const known = ['data', 'RECORD_NOT_FOUND', 'whether', 'deletion', 'record']
  say('reads around a delete', [...answers].filter((answer) => !known.includes(answer)), answers.has('deletion'))
}

exports.writes = async ({ a, c, say, able }) => {
  if (!able('writes around a delete', c, 'upsert')) return
  for (let i = 0; i < 5; i++) {
    const ra = await a.record('contested/' + i)
    await Promise.all([c.upsert('contested/' + i, { n: i }), ra.delete()])
  }
  say('writes around a delete', 'all answered')
}

// notify tells the node that what it has is not the truth any more. What the storage
// does not get is gone by that, and all is without a storage.
exports.notify = async ({ a, b, c, say, able }) => {
  if (!able('notified', a, 'notify')) return
  const rb = await b.record('volatile/stale')
  rb.set('n', 1)
  await until('a value', () => c.snapshot('volatile/stale').then((data) => data.n === 1))
  const gone = new Promise((resolve) => rb.onDelete(resolve))
  await a.notify(['volatile/stale', 'never'])
  await gone
  say('notified', await c.has('volatile/stale'))
}

exports.stored = async ({ a, b, c, say, able, without, stored }) => {
  if (!able('stored', a, 'notify')) return
  if (!stored) { without('stored', 'no storage'); return }
  const rb = await b.record('durable')
  rb.set('n', 1)
  await until('a value', () => c.snapshot('durable').then((data) => data.n === 1))
  await a.notify(['durable'])
  say('stored', await c.snapshot('durable'), rb.get())
}
