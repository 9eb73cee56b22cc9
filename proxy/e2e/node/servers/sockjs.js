'use strict'
// SockJS.

const sockjs = require('sockjs')
const { answer, listen, httpServer } = require('../lib/backend')

const echo = sockjs.createServer({ log: () => {} })
echo.on('connection', connection => {
  connection.on('data', text => {
    const { n, data } = JSON.parse(text)
    connection.write(JSON.stringify({ n, ...answer(data) }))
  })
})
const server = httpServer()
echo.installHandlers(server, { prefix: '/echo' })
listen(server)
