// The page: two people and a crowd as clients, and the fleet that serves them.

import { Client, Gate, Record } from './client.js'

const $ = (selector, root = document) => root.querySelector(selector)
const bases = { through: '/deepstream/', plain: '/plain/deepstream/' }
let mode = 'through'

function element (name, className, text) {
  const e = document.createElement(name)
  if (className) e.className = className
  if (text !== undefined) e.textContent = text
  return e
}

const milliseconds = (n) => n < 1000 ? `${Math.round(n)} ms` : `${(n / 1000).toFixed(1)} s`

const ordinal = (n) => n + (['th', 'st', 'nd', 'rd'][n % 100 > 10 && n % 100 < 14 ? 0 : n % 10] || 'th')

// --- What happened ---

function log (who, text, tone = '', at = new Date()) {
  const item = element('li', tone)
  item.append(element('time', '', at.toTimeString().slice(0, 8)), element('b', who.toLowerCase(), who), element('span', '', text))
  $('#log').prepend(item)
  while ($('#log').childElementCount > 120) $('#log').lastChild.remove()
}

// --- Two people ---

const stepsKept = 14
const badges = { connecting: 'connecting', polling: 'polling', websocket: 'websocket', waiting: 'reconnecting', broken: 'broken' }

class Pane {
  constructor (root, user, other) {
    Object.assign(this, { root, user, other, users: new Set(), reconnects: 0, broken: 0, sid: '', node: '' })
    root.append($('#pane').content.cloneNode(true))
    root.dataset.user = user
    $('h2', root).textContent = user
    $('.face', root).textContent = user[0]
    $('.rpc button', root).textContent = `Ask ${other}`
    $('textarea', root).oninput = (e) => this.record.set('note', e.target.value)
    $('.hue input', root).oninput = (e) => this.slide(Number(e.target.value))
    $('.renew', root).onclick = () => this.renew()
    $('.rpc', root).onsubmit = (e) => { e.preventDefault(); this.ask() }
    $('.chat', root).onsubmit = (e) => { e.preventDefault(); this.say(e.target.elements.text) }
    this.connect()
  }

  connect () {
    this.client?.end()
    $('.steps', this.root).replaceChildren()
    this.mode = mode
    this.client = new Client(this.user, bases[mode], {
      step: (kind, by, fault) => this.step(kind, by, fault),
      opened: (sid) => { this.sid = sid; this.show('.sid', sid.slice(0, 8) + '…'); $('.sid', this.root).title = sid },
      state: (state) => this.state(state),
      ready: (away) => this.ready(away),
      lost: (reason, was) => this.lost(reason, was),
      record: (action, parts) => this.record.receive(action, parts),
      event: (name, value) => this.hear(value),
      presence: (action, parts) => this.presence(action, parts)
    })
    this.client.provide(`add/${this.user}`, ({ a, b }) => ({ sum: a + b, node: this.node, proxy: this.proxy }))
    const record = new Record(this.client, 'demo/board', () => this.draw())
    if (this.record) for (const [path, value] of this.record.unsaved) record.set(path, value)
    this.record = record
  }

  // renew ends the session and opens another.
  renew () {
    Object.assign(this, { broken: 0, node: '' })
    this.place('.node', '')
    this.place('.proxy', mode === 'plain' ? 'none' : '')
    this.connect()
  }

  show (selector, text) { $(selector, this.root).textContent = text }

  state (state) {
    this.root.dataset.state = state
    this.show('.badge', badges[state])
    if (state === 'websocket') this.where()
  }

  step (kind, by, fault) {
    if (kind === 'handshake') $('.steps', this.root).replaceChildren()
    const item = element('li', fault ? 'fault' : by, kind)
    if (by || fault) item.append(element('b', '', fault || by.replace(/^(proxy|node)-/, (_, w) => w[0].toUpperCase())))
    item.title = `${kind}${by ? ' by ' + by : ''}${fault ? ': ' + fault : ''}`
    const steps = $('.steps', this.root)
    steps.append(item)
    if (steps.childElementCount > stepsKept) steps.firstChild.remove()
    if (/^(proxy|node)-/.test(by)) this.place(by.startsWith('proxy') ? '.proxy' : '.node', by)
  }

  place (selector, name) {
    const cell = $(selector, this.root)
    cell.textContent = name || '–'
    cell.className = `${selector.slice(1)} chip ${name || ''}`
  }

  // where asks which proxy has the WebSocket and which node the session.
  async where () {
    const { sid } = this
    try {
      const answer = await (await fetch('/demo/where?sid=' + encodeURIComponent(sid))).json()
      if (sid !== this.sid) return
      const before = this.node
      Object.assign(this, { node: answer.node || '', proxy: answer.proxy || '' })
      this.place('.node', this.node)
      this.place('.proxy', this.proxy || (this.mode === 'plain' ? 'none' : ''))
      const upgrade = $('.steps li:last-child', this.root)
      if (upgrade && upgrade.textContent === 'upgrade' && (this.proxy || this.node)) {
        const by = this.proxy || this.node
        upgrade.className = by
        upgrade.append(element('b', '', by.replace(/^(proxy|node)-/, (_, w) => w[0].toUpperCase())))
      }
      if (this.away !== undefined) {
        const moved = before && before !== this.node ? `moved from ${before} to ${this.node}` : `on ${this.node || 'a node'} again`
        log(this.user, `reconnected after ${milliseconds(this.away)}, ${moved}`, 'good')
        this.away = undefined
      } else if (!before && this.node) {
        log(this.user, `opened a session on ${this.node}`, 'dim')
      }
    } catch {} // the demo has ended
  }

  ready (away) {
    this.away = away
    if (away !== undefined) this.show('.reconnects', ++this.reconnects)
    this.record.subscribe()
    this.client.send('E', 'S', 'demo/chat')
    this.client.send('U', 'S', 'S')
    this.client.send('U', 'Q', 'Q')
  }

  lost (reason, was) {
    if (was) log(this.user, `session lost: ${reason}`, 'bad')
    else if (++this.broken <= 3 || this.broken % 10 === 0) log(this.user, `session broken, the ${ordinal(this.broken)}: ${reason}`, 'bad')
    this.users.clear()
    this.draw()
    this.drawUsers()
  }

  slide (hue) {
    this.hue = hue
    this.draw()
    this.sliding ??= setTimeout(() => { this.sliding = undefined; this.record.set('hue', this.hue) }, 60)
  }

  draw () {
    const { record, root } = this
    if (!record) return
    const note = $('textarea', root)
    if (note.value !== (record.data.note ?? '')) note.value = record.data.note ?? ''
    const hue = this.sliding ? this.hue : record.data.hue ?? 210
    $('.hue input', root).value = hue
    root.style.setProperty('--hue', hue)
    const version = $('.version', root)
    const state = record.fault ? `not saved: ${record.fault}` : record.unsaved.size ? 'writing' : this.client.ready ? 'saved' : 'offline'
    version.textContent = record.fault ? state : record.version < 0 ? '' : `version ${record.version} · ${state}${record.conflicts ? ` · ${record.conflicts} merged` : ''}`
    version.dataset.fault = record.fault
  }

  hear ({ from, text }) {
    const item = element('li')
    item.append(element('b', from.toLowerCase(), from), element('span', '', text))
    const list = $('.chat ol', this.root)
    list.append(item)
    while (list.childElementCount > 30) list.firstChild.remove()
    list.scrollTop = list.scrollHeight
  }

  say (input) {
    if (!input.value || !this.client.ready) return
    const message = { from: this.user, text: input.value }
    this.client.emit('demo/chat', message)
    this.hear(message)
    input.value = ''
  }

  presence (action, names) {
    if (action === 'Q') this.users = new Set(names)
    else if (action === 'PNJ' && names[0] !== this.user) this.users.add(names[0])
    else if (action === 'PNL') this.users.delete(names[0])
    this.drawUsers()
  }

  drawUsers () {
    const guests = [...this.users].filter((name) => name.startsWith('guest-')).length
    const others = [...this.users].filter((name) => !name.startsWith('guest-'))
    if (guests) others.push(`${guests} guests`)
    this.show('.here', others.length ? `sees ${others.join(', ')}` : 'sees nobody else')
  }

  async ask () {
    const form = $('.rpc', this.root).elements
    const [a, b] = [Number(form.a.value), Number(form.b.value)]
    const began = performance.now()
    try {
      const answer = await this.client.request(`add/${this.other}`, { a, b })
      const way = [this.proxy, this.node, answer.node, answer.proxy].filter((x, i, all) => x && x !== all[i - 1])
      this.show('.path', `${answer.sum} in ${milliseconds(performance.now() - began)} by ${way.join(' → ')}`)
    } catch (error) {
      this.show('.path', `no answer: ${error.message.toLowerCase().replaceAll('_', ' ')}`)
    }
  }
}

const panes = [new Pane($('#ada'), 'Ada', 'Ben'), new Pane($('#ben'), 'Ben', 'Ada')]

for (const name of Object.keys(bases)) {
  $('#' + name).onclick = () => {
    if (mode === name) return
    mode = name
    for (const other of Object.keys(bases)) $('#' + other).setAttribute('aria-checked', other === name)
    document.body.dataset.mode = name
    log('fleet', name === 'plain' ? 'Ada and Ben now go straight to the nodes, request by request to the next' : 'Ada and Ben go through dsproxy again', 'act')
    for (const pane of panes) pane.renew()
  }
}

// --- The crowd ---

const gate = new Gate(3)
const crowdSize = 50

class Crowd {
  constructor (name, title, tries) {
    Object.assign(this, { name, title, tries, guests: [] })
    this.root = element('div', 'row')
    this.button = element('button', '', 'Open 50')
    this.button.onclick = () => this.guests.length ? this.close() : this.open()
    this.dots = element('div', 'dots')
    this.text = element('p', 'count dim', 'none open')
    const head = element('div', 'head')
    head.append(element('span', '', title), this.button)
    this.root.append(head, this.dots, this.text)
    $('#crowds').append(this.root)
  }

  open () {
    this.button.textContent = 'Close'
    for (let i = 1; i <= crowdSize; i++) {
      const guest = { dot: element('i'), reconnects: 0, state: 'connecting' }
      this.dots.append(guest.dot)
      this.guests.push(guest)
      guest.client = new Client(`guest-${this.name}-${i}`, bases[this.name], {
        state: (state) => { guest.state = guest.dot.dataset.state = state; this.draw() },
        ready: (away) => { if (away !== undefined) { guest.reconnects++; guest.dot.dataset.again = true } }
      }, { gate, tries: this.tries })
    }
  }

  close () {
    for (const guest of this.guests) guest.client.end()
    this.guests = []
    this.dots.replaceChildren()
    this.button.textContent = 'Open 50'
    this.text.textContent = 'none open'
  }

  counts () {
    const count = (state) => this.guests.filter((g) => g.state === state).length
    return { whole: count('websocket'), broken: count('broken'), reconnects: this.guests.reduce((n, g) => n + g.reconnects, 0) }
  }

  // since tells what has happened to the guests since their reconnects were those.
  since (before) {
    const back = this.guests.filter((g) => g.state === 'websocket')
    const kept = back.filter((g) => g.reconnects === before.get(g)).length
    return { kept, again: back.length - kept, away: this.guests.length - back.length }
  }

  draw () {
    if (!this.guests.length) return
    const { whole, broken, reconnects } = this.counts()
    const opening = this.guests.length - whole - broken
    this.text.textContent = [`${whole} whole`, broken && `${broken} broken`, opening && `${opening} under way`, reconnects && `${reconnects} reconnected`].filter(Boolean).join(' · ')
    this.root.dataset.whole = whole
    this.root.dataset.broken = broken
  }
}

const crowds = [new Crowd('through', 'through dsproxy', Infinity), new Crowd('plain', 'plain round robin', 1)]

// --- The fleet ---

const buttons = {
  node: { up: ['drain', 'stop', 'kill'], draining: ['undrain', 'stop', 'kill'], down: ['start'] },
  proxy: { up: ['kill'], 'not ready': ['kill'], down: ['start'] },
  redis: { up: ['stop'], down: ['start'] }
}
const hints = {
  drain: 'No new sessions; those it has stay', undrain: 'New sessions again', stop: 'SIGTERM: it says goodbye',
  kill: 'SIGKILL: it says nothing', start: 'Start it again'
}

async function act (part, what, button) {
  button.disabled = true
  try {
    const response = await fetch(`/demo/${part}/${what}`, { method: 'POST' })
    if (!response.ok) log('fleet', (await response.json()).error, 'bad')
  } catch {
    log('fleet', `${part}: the demo does not answer`, 'bad')
  }
  button.disabled = false
}

function draw (tier, kind, name, view) {
  let card = document.getElementById('part-' + name)
  if (!card) {
    card = $('#part').content.cloneNode(true).firstElementChild
    card.id = 'part-' + name
    card.classList.add(name, kind)
    $('.name', card).textContent = name
    $(tier).append(card)
  }
  card.dataset.state = view.state
  $('.state', card).textContent = view.state
  $('.figures', card).textContent = view.figures
  $('.more', card).textContent = $('.more', card).title = view.more
  const wanted = buttons[kind][view.state] || []
  const acts = $('.acts', card)
  if (acts.dataset.for !== wanted.join()) {
    acts.dataset.for = wanted.join()
    acts.replaceChildren(...wanted.map((what) => {
      const button = element('button', what, what)
      button.title = view.fixed || hints[what]
      button.disabled = Boolean(view.fixed)
      button.onclick = () => act(name, what, button)
      return button
    }))
  }
}

// wires draws a line for each pair of parts, at the middle of their cards.
function wires (id, from, to) {
  const at = (i, n) => (100 / n) * (i + 0.5)
  $(id).replaceChildren(...from.flatMap((a, i) => to.map((b, j) => {
    const line = document.createElementNS('http://www.w3.org/2000/svg', 'line')
    for (const [k, v] of Object.entries({ x1: 0, y1: at(i, from.length), x2: 100, y2: at(j, to.length) })) line.setAttribute(k, v)
    line.setAttribute('class', [a, b].some((p) => p.state === 'down') ? 'cut' : [a, b].every((p) => p.state === 'up') ? 'live' : 'thin')
    return line
  })))
}

const plural = (n, word) => `${n} ${word}${n === 1 ? '' : 's'}`

function show ({ requests, proxies, nodes, redis, log: entries }) {
  $('#requests').textContent = requests
  for (const p of proxies) {
    draw('#proxies', 'proxy', p.name, { state: p.state, figures: `${plural(p.tunnels, 'tunnel')} · ${plural(p.sessions, 'session')} known`, more: p.why || p.addr })
  }
  for (const n of nodes) {
    const seen = Object.entries(n.seen || {}).filter(([, state]) => state !== n.state).map(([p, state]) => `${p} sees it ${state}`)
    draw('#nodes', 'node', n.name, { state: n.state, figures: `${plural(n.connections, 'session')} · ${plural(n.tunnels, 'tunnel')}`, more: seen.join(', ') || n.addr })
  }
  draw('#redis', 'redis', 'redis', {
    state: redis.state, figures: redis.own ? 'pins · records · bus' : redis.addr, more: redis.own ? 'embedded' : 'given by --redis',
    fixed: redis.own ? '' : 'This Redis was given with --redis: the demo neither stops nor starts it'
  })
  const balancer = [{ state: 'up' }]
  wires('#wires-1', balancer, proxies)
  wires('#wires-2', proxies, nodes)
  wires('#wires-3', nodes, [redis])
  for (const e of entries || []) {
    log('fleet', e.text, e.act ? 'act' : 'dim', new Date(e.at))
    if (e.act && new Date() - new Date(e.at) < 2000) impact()
  }
}

// impact tells, a moment after something was done, whom it left alone.
const tellAfter = 2500
let watching, awaiting

function impact () {
  if (watching) return
  const before = panes.map((pane) => pane.client.ready && pane.sid)
  const guests = new Map(crowds[0].guests.map((g) => [g, g.reconnects]))
  watching = setTimeout(() => {
    watching = undefined
    panes.forEach((pane, i) => {
      if (before[i] && pane.sid === before[i] && pane.client.ready) log(pane.user, `kept its session on ${pane.node}`, 'dim')
    })
    if (crowds[0].guests.length) tellCrowd(guests)
  }, tellAfter)
}

// tellCrowd says how the fifty are, and again once all of them are back.
function tellCrowd (before) {
  const { kept, again, away } = crowds[0].since(before)
  log('fifty', `${kept} kept, ${again} reconnected, ${away} not back`, away ? 'bad' : 'good')
  clearInterval(awaiting)
  awaiting = away && setInterval(() => {
    const now = crowds[0].since(before)
    if (now.away) return
    clearInterval(awaiting)
    if (now.kept + now.again) log('fifty', `all back: ${now.kept} kept, ${now.again} reconnected`, 'good')
  }, 250)
}

function watch () {
  const ws = new WebSocket(new URL('/demo/watch', location.href.replace(/^http/, 'ws')))
  ws.onmessage = ({ data }) => {
    $('#alert').hidden = true
    const state = JSON.parse(data)
    if (state.proxies) show(state)
  }
  ws.onclose = () => {
    $('#alert').hidden = false
    $('#alert').textContent = 'The demo does not run. Start it again with dsproxy demo.'
    setTimeout(watch, 1000)
  }
}

watch()

// What tests look at.
window.demo = { panes, crowds }
