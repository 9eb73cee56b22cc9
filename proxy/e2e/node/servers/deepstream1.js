'use strict'
// deepstream.io 1.1.1, as its package ships it: engine.io at /deepstream for
// browsers, TCP for node. A client inside the process, connected by TCP, answers
// the rpc and the events that the tests use.

const net = require('net')
const Deepstream = require('deepstream.io')
const connect = require('deepstream.io-client-js')
const { answer, announce } = require('../lib/backend')
const { pageServer } = require('../lib/page')

// On a busy machine its timeouts of a second are soon over.
const patience = { rpcAckTimeout: 30000, rpcTimeout: 30000 }

async function start () {
  const tcpPort = await freePort()
  const http = pageServer('deepstream.io-client-js/dist/deepstream.js')
  await new Promise(resolve => http.listen(0, '127.0.0.1', resolve))
  const node = new Deepstream({ httpServer: http, tcpPort, tcpHost: '127.0.0.1', showLogo: false, ...patience })
  node.once('started', () => {
    const client = connect('127.0.0.1:' + tcpPort, patience)
    client.on('error', (message, event) => console.error(event, message))
    client.login({}, () => {
      client.rpc.provide('echo', (data, response) => response.send(answer(data)))
      client.event.subscribe('ask', ({ to, data }) => client.event.emit('answer/' + to, answer(data)))
      client.rpc.make('echo', 'ready', () => announce(http.address().port))
    })
  })
  node.start()
}

// deepstream cannot say which port it took, so it is told one.
function freePort () {
  return new Promise(resolve => {
    const probe = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address()
      probe.close(() => resolve(port))
    })
  })
}

start()
