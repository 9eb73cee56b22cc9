'use strict'
// socket.io 2 (engine.io protocol 3), as its users have it: the io cookie is on.

const socketio = require('socket.io-v2')
const { name, answer, listen } = require('../lib/backend')
const { pageServer } = require('../lib/page')

const server = pageServer('socket.io-client-v2/dist/socket.io.js')
const io = socketio(server, { maxHttpBufferSize: 8e6, serveClient: false })
io.on('connection', socket => {
  socket.emit('hello', name)
  socket.on('ask', (data, reply) => reply(answer(data)))
  socket.on('push', data => socket.emit('pushed', answer(data)))
})
listen(server)
