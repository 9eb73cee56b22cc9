'use strict'
// Clients of socket.io 4 and 2: default transports (polling, then the upgrade),
// polling only, WebSocket only, and 1 MB each way. A reconnection is a failure
// here, so the clients have it off.

const { run, converse, once } = require('../lib/sessions')

const libraries = { v4: require('socket.io-client').io, v2: require('socket.io-client-v2') }

const session = (version, transports, options) => async session => {
  const socket = libraries[version](session.url, { reconnection: false, forceNew: true, ...(transports && { transports }) })
  session.onEnd(() => socket.close())
  socket.on('connect_error', err => session.fail(new Error('connect_error: ' + err.message)))
  socket.on('disconnect', reason => session.fail(new Error('disconnected: ' + reason)))
  session.answeredBy(await once(socket, 'hello'))

  const engine = socket.io.engine
  const upgraded = transports ? null : engine.transport.name === 'websocket' ? Promise.resolve() : once(engine, 'upgrade')
  const ask = data => new Promise(resolve => socket.emit('ask', data, resolve))
  await converse(session, ask, { binary: true, ...options })
  if (upgraded) {
    await upgraded
    await converse(session, ask, { binary: true })
  }
  const pushed = once(socket, 'pushed')
  socket.emit('push', 'now you')
  session.check(await pushed, 'now you')
  session.transport = engine.transport.name
}

const scenarios = {}
for (const version of ['v4', 'v2']) {
  scenarios[version + '-default'] = session(version, null)
  scenarios[version + '-default-big'] = session(version, null, { big: true })
  scenarios[version + '-polling'] = session(version, ['polling'])
  scenarios[version + '-polling-big'] = session(version, ['polling'], { big: true })
  scenarios[version + '-websocket'] = session(version, ['websocket'])
  scenarios[version + '-websocket-big'] = session(version, ['websocket'], { big: true })
}
run(scenarios)
