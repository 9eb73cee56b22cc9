'use strict'
// Serves /page/NAME, what the browser test opens, and 404 for all else that no
// protocol takes.

const fs = require('fs')
const path = require('path')
const { httpServer } = require('./backend')

const pages = path.join(__dirname, '../pages')
const html = name => ['text/html', path.join(pages, name)]
const javascript = path => ['text/javascript', path]

// pageServer serves the pages and, as client.js, the client's browser bundle.
exports.pageServer = bundle => {
  const files = {
    '/page/socketio.html': html('socketio.html'),
    '/page/deepstream.html': html('deepstream.html'),
    '/page/talk.js': javascript(path.join(pages, 'talk.js')),
    '/page/client.js': javascript(require.resolve(bundle))
  }
  const server = httpServer()
  const [notFound] = server.listeners('request')
  server.removeAllListeners('request')
  return server.on('request', (req, res) => {
    const file = files[req.url.split('?')[0]]
    if (!file) return notFound(req, res)
    res.writeHead(200, { 'Content-Type': file[0] + '; charset=utf-8' })
    fs.createReadStream(file[1]).pipe(res)
  })
}
