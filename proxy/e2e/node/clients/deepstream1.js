'use strict'
// deepstream.io-client-js 1.1.1 on the way it takes in a browser: engine.io with
// its default transports. In node it would use TCP.

require('deepstream.io-client-js/src/utils/utils').isNode = false
const connect = require('deepstream.io-client-js')
const { run, converse, once } = require('../lib/sessions')

// On a busy machine its timeouts of a second are soon over.
const patience = {
  rpcAckTimeout: 30000,
  rpcResponseTimeout: 30000,
  subscriptionTimeout: 30000,
  recordReadAckTimeout: 30000,
  recordReadTimeout: 30000
}

const session = (transports, options) => async session => {
  const client = connect(session.url.replace('http://', ''), { ...patience, maxReconnectAttempts: 0, ...(transports && { transports }) })
  const engine = client._connection._endpoint
  session.onEnd(() => client.close())
  client.on('error', (message, event) => session.fail(new Error(`error: ${event} ${message}`)))
  client.on('connectionStateChanged', state => {
    if (state === 'ERROR' || state === 'RECONNECTING' || state === 'CLOSED') session.fail(new Error('connection ' + state))
  })
  const upgraded = !transports && once(engine, 'upgrade')
  await new Promise((resolve, reject) => client.login({}, (ok, err) => ok ? resolve() : reject(new Error('login: ' + err))))

  await talk(session, client, 'before', options)
  if (upgraded) {
    await upgraded
    await talk(session, client, 'after', options)
  }
  session.transport = engine.transport.name
}

// talk uses rpcs, events and a record.
async function talk (session, client, when, options) {
  await converse(session, data => rpc(client, 'echo', data), options)

  const answered = new Promise(resolve => {
    client.event.subscribe(`answer/${session.id}/${when}`, resolve)
  })
  await rpc(client, 'echo', 'the subscription has come before this')
  client.event.emit('ask', { to: `${session.id}/${when}`, data: 'event' })
  session.check(await answered, 'event')

  const name = `record/${session.id}/${when}`
  const record = client.record.getRecord(name)
  await new Promise(resolve => record.whenReady(resolve))
  record.set({ count: 1, text: 'grüße' })
  record.set('count', 2)
  await rpc(client, 'echo', 'the writes have come before this')
  const stored = await new Promise((resolve, reject) => {
    client.record.snapshot(name, (err, data) => err ? reject(new Error(err)) : resolve(data))
  })
  if (stored.count !== 2 || stored.text !== 'grüße') throw new Error('record: ' + JSON.stringify(stored))
}

function rpc (client, name, data) {
  return new Promise((resolve, reject) => {
    client.rpc.make(name, data, (err, result) => err ? reject(new Error('rpc: ' + err)) : resolve(result))
  })
}

run({
  default: session(null, {}),
  'default-big': session(null, { big: true }),
  polling: session(['polling'], {}),
  websocket: session(['websocket'], {})
})
