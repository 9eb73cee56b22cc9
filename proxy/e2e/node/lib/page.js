'use strict'
// Serves /page/NAME, the files that the browser test opens, and 404 for all
// else that no protocol takes.

const fs = require('fs')
const http = require('http')
const path = require('path')

const files = {
  '/page/socketio.html': ['text/html', path.join(__dirname, '../pages/socketio.html')],
  '/page/socketio2.js': ['text/javascript', require.resolve('socket.io-client-v2/dist/socket.io.js')]
}

exports.pageServer = () => http.createServer((req, res) => {
  const file = files[req.url.split('?')[0]]
  if (!file) {
    res.writeHead(404, { 'Content-Type': 'text/plain' })
    res.end('not found\n')
    return
  }
  res.writeHead(200, { 'Content-Type': file[0] + '; charset=utf-8' })
  fs.createReadStream(file[1]).pipe(res)
})
