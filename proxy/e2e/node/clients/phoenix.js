'use strict'
// The Phoenix client on its long-poll transport.

const { Socket, LongPoll } = require('phoenix')
const { run, converse } = require('../lib/sessions')

const session = options => async session => {
  const socket = new Socket(session.url.replace('http:', 'ws:') + '/socket', { transport: LongPoll })
  session.onEnd(() => socket.disconnect())
  socket.onError(err => session.fail(new Error('error: ' + err)))
  socket.onClose(event => session.fail(new Error('closed: ' + (event && event.reason))))
  socket.connect()
  const channel = socket.channel('echo:' + session.id)
  const done = push => new Promise((resolve, reject) => {
    push.receive('ok', resolve).receive('error', err => reject(new Error(JSON.stringify(err)))).receive('timeout', () => reject(new Error('push timed out')))
  })
  await done(channel.join())
  await converse(session, data => done(channel.push('ask', { data })), options)
  session.transport = 'longpoll'
}

run({ longpoll: session({}), 'longpoll-big': session({ big: true }) })
