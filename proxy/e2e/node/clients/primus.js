'use strict'
// The Primus client on the engine.io and sockjs transformers.

const Primus = require('primus')
const { run, converse } = require('../lib/sessions')

const session = transformer => async session => {
  const Socket = Primus.createSocket({ transformer, pathname: '/primus' })
  const socket = new Socket(session.url, { strategy: false })
  session.onEnd(() => socket.end())
  socket.on('error', err => session.fail(new Error('error: ' + err.message)))
  socket.on('end', () => session.fail(new Error('ended')))
  const waiting = new Map()
  socket.on('data', answer => waiting.get(answer.n)(answer))
  await new Promise(resolve => socket.on('open', resolve))
  let n = 0
  const ask = data => new Promise(resolve => {
    waiting.set(++n, resolve)
    socket.write({ n, data })
  })
  await converse(session, ask)
  session.transport = transformer
}

run({ 'engine.io': session('engine.io'), sockjs: session('sockjs') })
