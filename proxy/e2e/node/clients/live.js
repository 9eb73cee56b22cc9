'use strict'
// Sessions that live until they are told to end, for tests that break things
// under them: `node clients/live.js URL COUNT`. They are socket.io 4 sessions
// that ask ten times a second and reconnect as the client does by default, a
// third of them on each of default transports, polling alone and WebSocket
// alone. For each line on stdin a line of JSON comes on stdout, with the state
// of every session:
//
//   mode         default, polling or websocket
//   transport    the present one; empty while there is no connection
//   backend      that answered last
//   connects     connections so far
//   disconnects  the reasons of all ends so far
//   answers      right answers since the last connect
//   wrong        answers from another backend than the connection began with

const readline = require('readline')
const { io } = require('socket.io-client')

const [url, count] = process.argv.slice(2)
const modes = { default: undefined, polling: ['polling'], websocket: ['websocket'] }
const pace = 100 // ms between an answer and the next question

function open (mode) {
  const state = { mode, transport: '', backend: '', connects: 0, disconnects: [], answers: 0, wrong: 0 }
  // Quicker than by default, so that the tests are.
  const timing = { reconnectionDelay: 200, reconnectionDelayMax: 1000, timeout: 5000 }
  const socket = io(url, { forceNew: true, ...timing, ...(modes[mode] && { transports: modes[mode] }) })
  socket.on('connect', () => {
    state.connects++
    state.answers = 0
  })
  socket.on('hello', name => {
    state.backend = name
    ask(state.connects)
  })
  socket.on('disconnect', reason => state.disconnects.push(reason))
  const ask = connection => {
    if (connection !== state.connects || !socket.connected) return
    socket.emit('ask', 'still there?', answer => {
      if (connection !== state.connects) return
      if (answer.from !== state.backend) state.wrong++
      else state.answers++
      setTimeout(() => ask(connection), pace)
    })
  }
  return () => ({ ...state, transport: socket.connected ? socket.io.engine.transport.name : '' })
}

const names = Object.keys(modes)
const sessions = Array.from({ length: Number(count) }, (_, i) => open(names[i % names.length]))

readline.createInterface({ input: process.stdin })
  .on('line', () => process.stdout.write(JSON.stringify(sessions.map(report => report())) + '\n'))
  .on('close', () => process.exit(0))
