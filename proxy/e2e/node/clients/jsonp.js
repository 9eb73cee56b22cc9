'use strict'
// The JSONP transport of engine.io's own clients, protocols 3 and 4 (version 5
// is the last client that has it), in a document made of twigs.

require('../lib/dom').install()
const { run, converse, once } = require('../lib/sessions')

const clients = { eio3: require('engine.io-client-v3'), eio4: require('engine.io-client-v5') }

const session = (version, options) => async session => {
  const socket = clients[version](session.url, { path: '/engine.io', forceJSONP: true, transports: ['polling'] })
  session.onEnd(() => socket.close())
  socket.on('error', err => session.fail(new Error('error: ' + err.message)))
  socket.on('close', reason => session.fail(new Error('closed: ' + reason)))
  const waiting = new Map()
  socket.on('message', text => {
    const answer = JSON.parse(text)
    waiting.get(answer.n)(answer)
  })
  await once(socket, 'open')
  let n = 0
  const ask = data => new Promise(resolve => {
    waiting.set(++n, resolve)
    socket.send(JSON.stringify({ n, data }))
  })
  await converse(session, ask, options)
  session.transport = socket.transport.constructor.name
}

run({
  eio3: session('eio3'),
  'eio3-big': session('eio3', { big: true }),
  eio4: session('eio4'),
  'eio4-big': session('eio4', { big: true })
})
