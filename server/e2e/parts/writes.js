'use strict'
const { pause, until, failure } = require('../wait')

const same = (x, y) => JSON.stringify(x) === JSON.stringify(y)

// agreement waits until both have one version. A client whose merges crossed on
// the way only notices at the next update.
async function agreement (ra, rb) {
  const agree = () => ra.version() === rb.version() && same(ra.get(), rb.get())
  for (let i = 0; i < 20 && !agree(); i++) {
    await pause(100)
    if (!agree()) ra.set('nudge', i)
  }
  await until('agreement', agree)
}

exports.conflict = async ({ a, b, c, say }) => {
  const ra = await a.record('both')
  const rb = await b.record('both')
  ra.set('n', 0)
  await until('a start', () => rb.get('n') === 0)
  for (let i = 0; i < 20; i++) {
    ra.set('a', i)
    rb.set('b', i)
  }
  await agreement(ra, rb)
  say('agreed', same(await c.snapshot('both'), ra.get()))
}

exports.acknowledged = async ({ a, b, say, able }) => {
  if (!able('acknowledged', a, 'ack')) return
  const ra = await a.record('acked')
  const rb = await b.record('acked')
  await ra.setWithAck('n', 1)
  await until('an acknowledged write', () => rb.get('n') === 1)
  for (let i = 2; i < 10; i++) await ra.setWithAck('n', i)
  await until('the last of some', () => rb.get('n') === 9)
  say('acknowledged', rb.get(), ra.version() === rb.version())
}

// upsert writes without reading, and who has the record sees it.
exports.upsert = async ({ a, b, c, say, able }) => {
  if (!able('upserted', a, 'upsert')) return
  await a.upsert('upserted', { n: 1 })
  say('upserted', await c.snapshot('upserted'))
  const rb = await b.record('upserted')
  await a.upsertPath('upserted', 'deep.path[1]', 'x')
  await until('an upserted path', () => rb.get('deep.path[1]') === 'x')
  await a.upsert('upserted', { n: 2 })
  await until('an upserted value', () => rb.get('n') === 2)
  await a.upsertPath('upserted from a path', 'one.two', 3)
  say('upserted', rb.get(), rb.version(), await c.snapshot('upserted from a path'))
}

// hot: upserts of names that begin with hot/ have version 0, whatever was there.
exports.hot = async ({ a, b, c, say, able }) => {
  if (!able('hot', a, 'upsert')) return
  await a.upsert('hot/1', { n: 1 })
  await a.upsert('hot/1', { n: 2 })
  const rb = await b.record('hot/1')
  const first = [rb.get(), rb.version()]
  await a.upsert('hot/1', { n: 3 })
  await until('a hot value', () => rb.get('n') === 3)
  say('hot', first, rb.get(), await c.snapshot('hot/1'))
}

exports.hotVersion = async ({ a, c, say, able }) => {
  if (!able('hot version', a, 'upsert') || !able('hot version', c, 'head')) return
  await a.upsert('hot/2', { n: 1 })
  await a.upsert('hot/2', { n: 2 })
  say('hot version', await c.head('hot/2'))
}

exports.patchMulti = async ({ a, b, c, say, able }) => {
  if (!able('several paths', a, 'patchMulti')) return
  const rb = await b.record('several')
  rb.set({ keep: 1, drop: 2, list: [1, 2] })
  await until('a value', async () => (await c.snapshot('several')).keep === 1)
  a.patchMulti('several', 2, [{ path: 'list[1]', data: 'two' }, { path: 'drop' }, { path: 'new.one', data: true }])
  await until('several paths', () => rb.get('new.one') === true)
  say('several paths', rb.get(), rb.version(), await c.snapshot('several'))
}

// refused: what can never be written is an error to who waits for the
// acknowledgement.
exports.refused = async ({ a, say, able }) => {
  if (!able('refused', a, 'upsert')) return
  say('refused', await failure(a.upsertPath('hot/3', 'a.b', 1)), await failure(a.upsertPath('cold', '[', 1)))
}
