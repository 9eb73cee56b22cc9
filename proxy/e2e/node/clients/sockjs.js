'use strict'
// sockjs-client: its own choice of transport, and each of four alone.

const SockJS = require('sockjs-client')
const { run, converse } = require('../lib/sessions')

const session = (transports, options) => async session => {
  // The client gives a transport a few round trips' time to open, or this.
  const timeout = 20000
  const socket = new SockJS(session.url + '/echo', null, { timeout, ...(transports && { transports }) })
  session.onEnd(() => socket.close())
  const waiting = new Map()
  socket.onmessage = event => {
    const answer = JSON.parse(event.data)
    waiting.get(answer.n)(answer)
  }
  socket.onclose = event => session.fail(new Error(`closed: ${event.code} ${event.reason}`))
  await new Promise(resolve => { socket.onopen = resolve })
  let n = 0
  const ask = data => new Promise(resolve => {
    waiting.set(++n, resolve)
    socket.send(JSON.stringify({ n, data }))
  })
  await converse(session, ask, options)
  session.transport = socket.transport
}

const scenarios = { default: session(null) }
for (const transport of ['websocket', 'xhr-streaming', 'xhr-polling', 'eventsource']) {
  scenarios[transport] = session([transport])
  scenarios[transport + '-big'] = session([transport], { big: true })
}
run(scenarios)
