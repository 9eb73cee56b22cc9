'use strict'
// deepstream.io 1.1.1 with engine.io at a free port; prints its URL when it is
// ready, and ends with its standard input.
const http = require('http')
const net = require('net')
const Deepstream = require('deepstream.io')

const probe = net.createServer().listen(0, '127.0.0.1', () => {
  const tcpPort = probe.address().port // it cannot say which port it took
  probe.close(() => {
    const httpServer = http.createServer().listen(0, '127.0.0.1', () => {
      const node = new Deepstream({ httpServer, tcpPort, tcpHost: '127.0.0.1', showLogo: false })
      node.once('started', () => console.log('http://127.0.0.1:' + httpServer.address().port))
      node.start()
    })
  })
})
process.stdin.resume().on('end', () => process.exit(0))
