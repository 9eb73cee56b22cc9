'use strict'
// Bare engine.io, protocol 3 or 4: `node servers/engineio.js NAME 3`.

const { answer, listen, httpServer } = require('../lib/backend')

const engine = require(process.argv[3] === '3' ? 'engine.io-v3' : 'engine.io')

const server = httpServer()
const options = { maxHttpBufferSize: 8e6, path: '/engine.io' }
engine.attach(server, options).on('connection', socket => {
  socket.on('message', text => {
    const { n, data } = JSON.parse(text)
    socket.send(JSON.stringify({ n, ...answer(data) }))
  })
})
listen(server)
