'use strict'
// The long-poll transport of a Phoenix socket at /socket/longpoll, as the
// framework answers it: HTTP status 200 always, the real one in the body, 410
// with a new token for a poll whose token is not known here.

const crypto = require('crypto')
const { answer, listen, httpServer } = require('../lib/backend')

const window = 10000
const sessions = new Map()

class Session {
  constructor () {
    this.token = crypto.randomBytes(32).toString('base64url')
    this.messages = []
    this.res = null
    sessions.set(this.token, this)
  }

  push (message) {
    this.messages.push(JSON.stringify(message))
    this.flush(200)
  }

  poll (res) {
    this.res = res
    this.timer = setTimeout(() => this.flush(204), window)
    res.on('close', () => { if (this.res === res) this.drop() })
    if (this.messages.length) this.flush(200)
  }

  flush (status) {
    if (!this.res) return
    const messages = this.messages
    this.messages = []
    send(this.drop(), { status, token: this.token, messages })
  }

  drop () {
    const res = this.res
    this.res = null
    clearTimeout(this.timer)
    return res
  }

  receive (line) {
    const [joinRef, ref, topic, event, payload] = JSON.parse(line)
    const reply = response => this.push([joinRef, ref, topic, 'phx_reply', { status: 'ok', response }])
    if (event === 'ask') reply(answer(payload.data))
    else reply({})
  }
}

function send (res, body) {
  res.writeHead(200, { 'Content-Type': 'application/json', 'Access-Control-Allow-Origin': '*' })
  res.end(JSON.stringify(body))
}

const server = httpServer()
server.removeAllListeners('request')
server.on('request', async (req, res) => {
  const url = new URL(req.url, 'http://backend')
  if (url.pathname !== '/socket/longpoll') {
    res.writeHead(404)
    return res.end()
  }
  const session = sessions.get(url.searchParams.get('token'))
  if (req.method === 'GET') {
    if (session) return session.poll(res)
    return send(res, { status: 410, token: new Session().token, messages: [] })
  }
  const parts = []
  for await (const part of req) parts.push(part)
  if (!session) return send(res, { status: 410 })
  for (const line of Buffer.concat(parts).toString().split('\n')) session.receive(line)
  send(res, { status: 200, token: session.token, messages: [] })
})
listen(server)
