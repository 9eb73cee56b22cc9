'use strict'
const { until, failure } = require('../wait')

// provided waits until a reaches a provider: providing has no answer that the
// clients show.
const provided = (a, name) => until('a provider of ' + name, () => a.call(name, { x: 0, y: 0 }).then(() => true, (e) => e.message !== 'NO_RPC_PROVIDER'))

// answered is how a call fails once there is a provider.
async function answered (a, name) {
  let word
  await until('a provider of ' + name, async () => { word = await failure(a.call(name, null)); return word !== 'NO_RPC_PROVIDER' })
  return word
}

exports.call = async ({ a, b, say }) => {
  b.provide('echo', (data, response) => response.send(data))
  b.provide('sum', (data, response) => response.send(data.x + data.y))
  b.provide('fail', (data, response) => response.error('broken'))
  b.provide('refuse', (data, response) => response.reject())
  for (const name of ['echo', 'sum', 'fail']) await provided(a, name)
  say('call', await a.call('sum', { x: 2, y: 40 }))
  const values = ['umlaut ü €', 12.5, true, null, { a: [1] }, []]
  say('call with values', await Promise.all(values.map((v) => a.call('echo', v))))
  say('call fails', await failure(a.call('fail', {})))
  say('call refused', await failure(a.call('refuse', {})))
  say('nobody', await failure(a.call('nobody', {})))
  say('self', await b.call('sum', { x: 1, y: 1 }))
  const many = await Promise.all(Array.from({ length: 100 }, (_, i) => a.call('sum', { x: i, y: i })))
  say('many calls', many.every((n, i) => n === 2 * i))
}

// rerouted: a provider that refuses is passed over.
exports.rerouted = async ({ a, b, c, say }) => {
  let refused = 0
  b.provide('shared', (data, response) => { refused++; response.reject() })
  await until('one that refuses', () => a.call('shared', null).catch(() => {}).then(() => refused > 0))
  c.provide('shared', (data, response) => response.send('by c'))
  await provided(a, 'shared')
  const answers = []
  for (let i = 0; i < 20; i++) answers.push(await a.call('shared', null))
  say('rerouted', answers.every((answer) => answer === 'by c'))
}

exports.unprovided = async ({ a, b, say }) => {
  b.unprovide('sum')
  await until('the end of a provider', () => a.call('sum', { x: 1, y: 1 }).then(() => false, (e) => e.message === 'NO_RPC_PROVIDER'))
  say('unprovided', await failure(a.call('sum', { x: 1, y: 1 })))
}

// silent is a provider that does not say that it has heard; the text protocols
// and protobuf have different words for it.
exports.silent = async ({ a, b, say }) => {
  b.provideSilently('silent')
  const word = await answered(a, 'silent')
  const words = { ACK_TIMEOUT: 'not accepted in time', ACCEPT_TIMEOUT: 'not accepted in time' }
  say('silent', words[word] || word)
}

// late is a provider that accepts and then has no answer.
exports.late = async ({ a, b, say }) => {
  b.provide('late', () => {})
  say('late', await answered(a, 'late'))
}

// requestor: providers are told who calls.
exports.requestor = async ({ a, b, say, able }) => {
  if (!able('requestor', b, 'requestor')) return
  b.provide('who', (data, response, who) => response.send(who))
  await provided(a, 'who')
  say('requestor', await a.call('who', null))
}
