'use strict'
const { until, failure } = require('../wait')

// provided waits until a reaches a provider: providing has no answer that the
// clients show.
const provided = (a, name) => until('a provider of ' + name, () => a.call(name, { x: 0, y: 0 }).then(() => true, (e) => e.message !== 'NO_RPC_PROVIDER'))

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
  await until('a provider', async () => (await failure(a.call('silent', null))) !== 'NO_RPC_PROVIDER')
  const words = { ACK_TIMEOUT: 'not accepted in time', ACCEPT_TIMEOUT: 'not accepted in time' }
  const word = await failure(a.call('silent', null))
  say('silent', words[word] || word)
}
