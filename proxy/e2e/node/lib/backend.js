'use strict'
// The part that all servers of this folder share. A server process is one
// backend: it is started as `node servers/x.js NAME`, listens on a free port of
// the loopback address, says so in one line of JSON on stdout and puts NAME
// into every answer. It ends when its standard input does, so that no backend
// outlives the test that started it.

const http = require('http')

exports.name = process.argv[2] || 'backend'

exports.announce = port => {
  process.stdout.write(JSON.stringify({ name: exports.name, port }) + '\n')
}

exports.listen = server => {
  server.listen(0, '127.0.0.1', () => exports.announce(server.address().port))
}

// httpServer answers what no protocol takes with 404: a health check must get
// an answer.
exports.httpServer = () => http.createServer((req, res) => {
  res.writeHead(404, { 'Content-Type': 'text/plain' })
  res.end('not found\n')
})

exports.answer = data => ({ from: exports.name, data })

process.stdin.on('end', () => process.exit(0)).resume()
