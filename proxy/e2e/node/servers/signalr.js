'use strict'
// A hub at /hub as ASP.NET Core serves one: its TransportProtocols document
// (negotiate versions 0 and 1, WebSockets, Server-Sent Events, long polling) and
// the JSON half of its HubProtocol document. There is no server for node, and
// the one on the other side of the tests is the real @microsoft/signalr client.

const crypto = require('crypto')
const { WebSocketServer } = require('ws')
const { answer, listen, httpServer } = require('../lib/backend')

const recordEnd = '\x1e'
const connections = new Map() // by the id that later requests carry

class Connection {
  constructor (id) {
    this.id = id
    this.kind = '' // the transport, once there is one
    this.pending = '' // records that no poll has fetched yet
    this.poll = null // the response of the pending poll
    this.deliver = null // writes records to a stream
    this.unread = ''
    this.shaken = false
    connections.set(id, this)
  }

  send (message) {
    this.pending += JSON.stringify(message) + recordEnd
    this.flush()
  }

  flush () {
    if (!this.pending) return
    if (this.deliver) {
      this.deliver(this.pending)
    } else if (this.poll) {
      const res = this.poll
      this.poll = null
      text(res, 200, this.pending)
    } else {
      return
    }
    this.pending = ''
  }

  receive (data) {
    const records = (this.unread + data).split(recordEnd)
    this.unread = records.pop()
    for (const record of records) this.handle(JSON.parse(record))
  }

  handle (message) {
    if (!this.shaken) {
      this.shaken = true
      this.send(message.protocol === 'json' ? {} : { error: 'protocol not supported' })
    } else if (message.type === 1) {
      const [data] = message.arguments
      if (message.target === 'Push') this.send({ type: 1, target: 'Pushed', arguments: [answer(data)] })
      if (message.invocationId) this.send({ type: 3, invocationId: message.invocationId, result: answer(data) })
    } else if (message.type === 7) {
      this.end()
    }
  }

  end () {
    connections.delete(this.id)
    if (this.poll) text(this.poll, 204, '')
    this.poll = null
  }
}

const server = httpServer()
server.removeAllListeners('request')
server.on('request', async (req, res) => {
  const url = new URL(req.url, 'http://backend')
  if (url.pathname === '/hub/negotiate' && req.method === 'POST') return negotiate(url, res)
  if (url.pathname !== '/hub') return text(res, 404, 'not found')
  const id = url.searchParams.get('id')
  if (!id) return text(res, 400, 'Connection ID required')
  const connection = connections.get(id)
  if (!connection) return text(res, 404, 'No Connection with that ID')
  if (req.method === 'DELETE') {
    connection.end()
    return text(res, 202, '')
  }
  if (req.method === 'POST') {
    if (connection.kind === 'websocket') return text(res, 405, 'POST requests are not allowed for WebSocket connections.')
    const parts = []
    for await (const part of req) parts.push(part)
    connection.receive(Buffer.concat(parts).toString())
    return text(res, 200, '')
  }
  if (/text\/event-stream/.test(req.headers.accept || '')) return stream(connection, req, res)
  poll(connection, req, res)
})

function negotiate (url, res) {
  const version = Number(url.searchParams.get('negotiateVersion') || 0)
  const id = crypto.randomBytes(16).toString('base64url')
  const token = version > 0 ? crypto.randomBytes(16).toString('base64url') : id
  new Connection(token) // eslint-disable-line no-new
  const availableTransports = ['WebSockets', 'ServerSentEvents', 'LongPolling'].map(transport => ({ transport, transferFormats: ['Text'] }))
  res.writeHead(200, { 'Content-Type': 'application/json' })
  res.end(JSON.stringify({ negotiateVersion: version, connectionId: id, ...(version > 0 && { connectionToken: token }), availableTransports }))
}

function stream (connection, req, res) {
  if (connection.kind) return text(res, 409, 'Connection already has a transport')
  connection.kind = 'sse'
  res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache,no-store', 'Content-Encoding': 'identity' })
  res.write(':\r\n\r\n')
  connection.deliver = records => res.write(`data: ${records}\r\n\r\n`)
  req.on('close', () => connection.end())
  connection.flush()
}

// The first poll is answered at once: it tells the client that it is connected.
function poll (connection, req, res) {
  if (connection.kind && connection.kind !== 'poll') return text(res, 400, 'wrong transport')
  if (connection.poll) {
    text(connection.poll, 204, '')
    connection.poll = null
  }
  if (!connection.kind) {
    connection.kind = 'poll'
    return text(res, 200, '')
  }
  connection.poll = res
  res.on('close', () => { if (connection.poll === res) connection.poll = null })
  connection.flush()
}

function text (res, status, body) {
  res.writeHead(status, { 'Content-Type': 'text/plain' })
  res.end(body)
}

const sockets = new WebSocketServer({ noServer: true, maxPayload: 8e6 })
server.on('upgrade', (req, socket, head) => {
  const url = new URL(req.url, 'http://backend')
  const id = url.searchParams.get('id')
  const connection = id ? connections.get(id) : new Connection(crypto.randomBytes(16).toString('base64url'))
  if (url.pathname !== '/hub' || !connection || connection.kind) {
    socket.end('HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 26\r\n\r\nNo Connection with that ID')
    return
  }
  connection.kind = 'websocket'
  sockets.handleUpgrade(req, socket, head, ws => {
    connection.deliver = records => ws.send(records)
    ws.on('message', data => connection.receive(data.toString()))
    ws.on('close', () => connection.end())
    connection.flush()
  })
})

setInterval(() => {
  for (const connection of connections.values()) if (connection.shaken) connection.send({ type: 6 })
}, 10000).unref()

listen(server)
