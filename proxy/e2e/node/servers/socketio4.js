'use strict'
// socket.io 4 (engine.io protocol 4), with a page for the test in a real browser.

const { Server } = require('socket.io')
const { name, answer, listen } = require('../lib/backend')
const { pageServer } = require('../lib/page')

const server = pageServer('socket.io-client/dist/socket.io.js')
const io = new Server(server, { maxHttpBufferSize: 8e6, serveClient: false })
io.on('connection', socket => {
  socket.emit('hello', name)
  socket.on('ask', (data, reply) => reply(answer(data)))
  socket.on('push', data => socket.emit('pushed', answer(data)))
})
listen(server)
