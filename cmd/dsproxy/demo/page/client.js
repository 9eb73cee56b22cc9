// A client of deepstream 1: its text protocol over engine.io 3, which begins on
// HTTP polling and moves to a WebSocket, as such clients do by default.

const RECORD_END = '\x1e'
const PART = '\x1f'
const encoder = new TextEncoder()
const decoder = new TextDecoder()

// encode makes the body of a POST: for each packet 0, the digits of its length as
// bytes, 255, the packet.
function encode (packets) {
  const out = []
  for (const packet of packets) {
    const bytes = encoder.encode(packet)
    out.push(0, ...String(bytes.length).split('').map(Number), 255, ...bytes)
  }
  return new Uint8Array(out)
}

function decode (body) {
  const packets = []
  for (let i = 0; i < body.length;) {
    const end = body.indexOf(255, i)
    if (end < 0) throw new Error('a poll cannot be read')
    const length = Number(body.subarray(i + 1, end).join(''))
    packets.push(decoder.decode(body.subarray(end + 1, end + 1 + length)))
    i = end + 1 + length
  }
  return packets
}

// Socket is one session of engine.io. It tells on.step of each request and who
// answered it, on.upgraded, on.message and, once, on.close.
class Socket {
  constructor (base, on) {
    Object.assign(this, { base, on, transport: 'polling', queue: [], cancel: new AbortController() })
  }

  url (transport) {
    return `${this.base}?EIO=3&transport=${transport}${this.sid ? '&sid=' + encodeURIComponent(this.sid) : ''}`
  }

  async open () {
    try {
      const [first] = await this.request('handshake', 'GET')
      const open = JSON.parse(first.slice(1))
      this.sid = open.sid
      this.on.opened(open.sid)
      this.pingTimeout = open.pingTimeout
      this.heart = setInterval(() => this.ping(), open.pingInterval)
      this.upgrade()
      this.polls()
    } catch (error) {
      this.close(error.message)
    }
  }

  async request (kind, method, body) {
    const response = await fetch(this.url('polling'), {
      method, body, cache: 'no-store', credentials: 'omit', signal: this.cancel.signal,
      headers: body ? { 'Content-Type': 'application/octet-stream' } : {}
    })
    const by = response.headers.get('X-Demo-Proxy') || response.headers.get('X-Demo-Node') || 'balancer'
    this.on.step(kind, by, response.ok ? '' : String(response.status))
    if (response.ok) return method === 'GET' ? decode(new Uint8Array(await response.arrayBuffer())) : []
    const text = await response.text()
    let why = text.trim()
    try { why = JSON.parse(text).message } catch {}
    throw new Error(`${kind}: ${response.status} ${why}`)
  }

  async polls () {
    try {
      while (this.transport === 'polling' && !this.pausing && !this.closed) {
        this.polling = this.request('poll', 'GET')
        for (const packet of await this.polling) this.packet(packet)
      }
    } catch (error) {
      this.close(error.message)
    }
  }

  upgrade () {
    const ws = this.ws = new WebSocket(new URL(this.url('websocket'), location.href.replace(/^http/, 'ws')))
    ws.onopen = () => ws.send('2probe')
    ws.onmessage = async ({ data }) => {
      if (this.transport === 'websocket') return this.packet(data)
      if (data !== '3probe') return
      this.pausing = true // the poll that waits is answered with a noop
      await Promise.allSettled([this.polling, this.posting])
      if (this.closed) return
      ws.send('5')
      this.transport = 'websocket'
      this.on.step('upgrade', '', '')
      this.on.upgraded()
      this.flush()
    }
    ws.onclose = () => {
      if (this.closed) return
      if (this.transport === 'websocket') return this.close('the WebSocket was closed')
      this.on.step('upgrade', '', 'refused') // the session stays on polling
      if (this.pausing) this.close('the WebSocket was closed during the upgrade')
    }
  }

  packet (packet) {
    if (packet[0] === '4') this.on.message(packet.slice(1))
    else if (packet[0] === '3') clearTimeout(this.late)
    else if (packet[0] === '1') this.close('closed by the node')
  }

  ping () {
    this.late = setTimeout(() => this.close('no answer to a ping'), this.pingTimeout)
    this.write('2')
  }

  send (text) { this.write('4' + text) }

  write (packet) {
    this.queue.push(packet)
    this.flush()
  }

  async flush () {
    if (this.closed || !this.queue.length) return
    if (this.transport === 'websocket') {
      for (const packet of this.queue.splice(0)) this.ws.send(packet)
    } else if (!this.pausing && !this.busy) { // one POST at a time
      this.busy = true
      this.posting = this.request('post', 'POST', encode(this.queue.splice(0)))
      try {
        await this.posting
        this.busy = false
        this.flush()
      } catch (error) {
        this.close(error.message)
      }
    }
  }

  close (reason) {
    if (this.closed) return
    this.closed = true
    clearInterval(this.heart)
    clearTimeout(this.late)
    this.cancel.abort()
    if (this.ws) this.ws.close()
    this.on.close(reason)
  }
}

// Typed values begin with a letter for their type.
const typed = (v) => v === undefined ? 'U' : v === null ? 'L' : v === true ? 'T' : v === false ? 'F'
  : typeof v === 'number' ? 'N' + v : typeof v === 'string' ? 'S' + v : 'O' + JSON.stringify(v)

function untyped (text = 'U') {
  const rest = text.slice(1)
  return { S: rest, O: text[0] === 'O' && JSON.parse(rest), N: Number(rest), L: null, T: true, F: false }[text[0]]
}

// Gate lets a few in at a time: a browser has six requests to one host, and clients
// that poll would take them all.
export class Gate {
  constructor (places) { Object.assign(this, { places, waiting: [] }) }

  async enter () {
    if (this.places > 0) this.places--
    else await new Promise((resolve) => this.waiting.push(resolve))
    let inside = true
    return () => {
      if (!inside) return
      inside = false
      const next = this.waiting.shift()
      if (next) next()
      else this.places++
    }
  }
}

const delays = [0, 200, 500, 1000, 2000]

// Client logs in as a user and stays so, with a new session whenever one is lost.
export class Client {
  constructor (user, base, on, { gate, tries = Infinity } = {}) {
    Object.assign(this, { user, base, on, gate, tries, failures: 0, calls: new Map(), provided: new Map(), serial: 0 })
    this.connect()
  }

  async connect () {
    this.ready = false
    this.state('connecting')
    const leave = this.gate ? await this.gate.enter() : () => {}
    if (this.ended) return leave()
    const socket = this.socket = new Socket(this.base, {
      step: (kind, by, fault) => this.on.step?.(kind, by, fault),
      opened: (sid) => this.on.opened?.(sid),
      upgraded: () => { leave(); this.state('websocket') },
      message: (text) => {
        for (const m of text.split(RECORD_END)) if (m) this.receive(m.split(PART))
      },
      close: (reason) => { leave(); this.lost(reason) }
    })
    socket.open()
  }

  lost (reason) {
    if (this.ended) return
    const was = this.ready
    if (was) this.since = performance.now()
    this.ready = false
    for (const call of this.calls.values()) call.reject(new Error('the session was lost'))
    this.calls.clear()
    this.on.lost?.(reason, was)
    if (++this.failures >= this.tries) {
      this.ended = true
      return this.state('broken')
    }
    this.state('waiting')
    this.again = setTimeout(() => this.connect(), delays[Math.min(this.failures - 1, delays.length - 1)])
  }

  state (state) { this.on.state?.(state) }

  end () {
    this.ended = true
    clearTimeout(this.again)
    this.socket?.close('ended')
  }

  send (...parts) {
    if (this.socket && !this.socket.closed) this.socket.send(parts.join(PART) + RECORD_END)
  }

  receive ([topic, action, ...rest]) {
    const what = topic + action
    if (what === 'CCH') this.send('C', 'CHR', location.href)
    else if (what === 'CA') this.send('A', 'REQ', JSON.stringify({ username: this.user }))
    else if (what === 'AA') this.opened()
    else if (what === 'EEVT') this.on.event?.(rest[0], untyped(rest[1]))
    else if (topic === 'R') this.on.record?.(action, rest)
    else if (topic === 'U') this.on.presence?.(action, rest)
    else if (topic === 'P') this.call(action, rest)
  }

  opened () {
    this.ready = true
    this.failures = 0
    for (const name of this.provided.keys()) this.send('P', 'S', name)
    const away = this.since ? performance.now() - this.since : undefined
    this.since = undefined
    if (this.socket.transport === 'polling') this.state('polling')
    this.on.ready?.(away)
  }

  emit (name, value) { this.send('E', 'EVT', name, typed(value)) }

  patch (name, version, path, value) { this.send('R', 'P', name, version, path, typed(value)) }

  provide (name, answer) { this.provided.set(name, answer) }

  // request calls a procedure that some client provides.
  request (name, value) {
    const id = `${this.user}-${++this.serial}`
    return new Promise((resolve, reject) => {
      this.calls.set(id, { resolve, reject })
      this.send('P', 'REQ', name, id, typed(value))
    })
  }

  async call (action, [first, second, third]) {
    if (action === 'REQ') {
      this.send('P', 'A', first, second)
      this.send('P', 'RES', first, second, typed(await this.provided.get(first)(untyped(third))))
    } else if (action === 'RES') {
      this.calls.get(second)?.resolve(untyped(third))
      this.calls.delete(second)
    } else if (action === 'E') {
      this.calls.get(third)?.reject(new Error(first))
      this.calls.delete(third)
    }
  }
}

const checkAfter = 400

// Record is a record of flat fields. What one writes is shown at once, checked
// against what is stored a moment later, and written again where another write came
// first.
export class Record {
  constructor (client, name, changed) {
    Object.assign(this, { client, name, changed, data: {}, version: -1, unsaved: new Map(), conflicts: 0, fault: '' })
  }

  subscribe () { this.client.send('R', 'CR', this.name) }

  set (path, value) {
    this.data[path] = value
    this.unsaved.set(path, value)
    if (this.client.ready && this.version >= 0) this.client.patch(this.name, ++this.version, path, value)
    this.check()
    this.changed()
  }

  check () {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.client.ready && this.client.send('R', 'SN', this.name), checkAfter)
  }

  // adopt takes what is stored, and repeats what is not in it.
  adopt (version, data) {
    this.version = version
    this.data = data
    const missing = [...this.unsaved].filter(([path, value]) => data[path] !== value)
    this.unsaved.clear()
    this.fault = ''
    for (const [path, value] of missing) this.set(path, value)
    this.changed()
  }

  receive (action, [name, version, ...rest]) {
    if (action === 'E') return this.failed(name, version, rest)
    if (name !== this.name) return
    if (action === 'R' || action === 'U') return this.adopt(Number(version), JSON.parse(rest[0]))
    if (action !== 'P') return
    if (Number(version) !== this.version + 1) return this.check()
    this.version++
    this.data[rest[0]] = untyped(rest[1])
    this.unsaved.delete(rest[0])
    this.changed()
  }

  failed (code, name, rest) {
    if (code === 'VERSION_EXISTS' && name === this.name) {
      this.conflicts++
      return this.adopt(Number(rest[0]), JSON.parse(rest[1]))
    }
    this.fault = code.toLowerCase().replaceAll('_', ' ')
    this.changed()
    setTimeout(() => this.check(), 1000 - checkAfter)
  }
}
