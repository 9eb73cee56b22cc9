'use strict'
// The Faye client: long polling alone, and its own choice of transport.

const faye = require('faye')
const { run, converse } = require('../lib/sessions')

// A session that the server has lost is not an error to this client: it shakes
// hands anew. So the client's ids are counted, by an extension that sees them.
const session = (disabled, options) => async session => {
  const client = new faye.Client(session.url + '/faye', { retry: 1 })
  for (const feature of disabled) client.disable(feature)
  session.onEnd(() => client.disconnect())
  client.on('transport:down', () => session.fail(new Error('transport down')))
  const ids = new Set()
  client.addExtension({
    incoming: (message, callback) => {
      if (message.channel === '/meta/handshake' && message.successful) ids.add(message.clientId)
      callback(message)
    }
  })
  const waiting = new Map()
  await client.subscribe('/answer/' + session.id, answer => waiting.get(answer.n)(answer))
  let n = 0
  const ask = data => new Promise((resolve, reject) => {
    waiting.set(++n, resolve)
    client.publish('/ask/' + session.id, { n, data }).then(undefined, reject)
  })
  await converse(session, ask, options)
  if (ids.size !== 1) throw new Error(`${ids.size} handshakes`)
  session.transport = client._dispatcher.connectionType
}

run({
  'long-polling': session(['websocket'], {}),
  'long-polling-big': session(['websocket'], { big: true }),
  // A handshake by POST, then a WebSocket whose request shows nothing of the
  // session: its id is in the frames alone.
  default: session([], {})
})
