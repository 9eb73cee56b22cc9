'use strict'
// The part that all clients of this folder share. A client process is started
// as `node clients/x.js URL COUNT SCENARIO`, runs COUNT sessions of the scenario
// at once, prints one line of JSON, {sessions, failed, transports, backends,
// errors}, and exits. A session is sound when every answer has come, is what was
// sent, and was given by one and the same backend.

const crypto = require('crypto')

const sessionLimit = Number(process.env.SESSION_LIMIT_MS || 15000)
const cleanupLimit = 5000 // ms
const errorsKept = 8

class Session {
  constructor (url, number) {
    this.url = url
    this.number = number
    this.id = crypto.randomBytes(8).toString('hex')
    this.from = ''
    this.transport = ''
    this.cleanups = []
    this.failure = new Promise((resolve, reject) => { this.fail = reject })
    this.failure.catch(() => {})
  }

  // onEnd runs f when the session is over, however it went.
  onEnd (f) { this.cleanups.push(f) }

  // check takes one answer {from, data} to what was sent.
  check (answer, sent) {
    if (!answer || typeof answer.from !== 'string') throw new Error('not an answer: ' + brief(answer))
    this.answeredBy(answer.from)
    if (!same(answer.data, sent)) throw new Error(difference(sent, answer.data))
  }

  answeredBy (name) {
    if (this.from && this.from !== name) throw new Error(`answered by ${name} after ${this.from}`)
    this.from = name
  }
}

const bigASCII = () => crypto.randomBytes(1 << 19).toString('hex')
const bigUnicode = () => bigASCII().slice(0, 768 * 1024) + '☃'.repeat((256 * 1024) / 3)
exports.bigASCII = bigASCII

// converse is the talk of every scenario: ask(data) sends data and resolves to
// the answer {from, data}.
exports.converse = async (session, ask, { binary = false, big = false, bigText = bigUnicode } = {}) => {
  for (let i = 0; i < 4; i++) {
    const text = `message ${i} of ${session.id}: grüße, 你好 ☃ 😀 \\n "quoted"`
    session.check(await ask(text), text)
  }
  const burst = Array.from({ length: 5 }, (_, i) => `burst ${i}`)
  const answers = await Promise.all(burst.map(ask))
  answers.forEach((answer, i) => session.check(answer, burst[i]))
  if (binary) {
    const bytes = crypto.randomBytes(3000)
    session.check(await ask(bytes), bytes)
  }
  if (big) {
    const text = bigText()
    session.check(await ask(text), text)
    if (binary) {
      const bytes = crypto.randomBytes(1 << 20)
      session.check(await ask(bytes), bytes)
    }
  }
  const last = 'last words'
  session.check(await ask(last), last)
}

// run runs the sessions; scenarios maps a name to async f(session). When all are
// over it calls end.
exports.run = async (scenarios, end = async () => {}) => {
  const [url, count, name] = process.argv.slice(2)
  const scenario = scenarios[name]
  if (!scenario) {
    console.error(`unknown scenario ${name}; there are ${Object.keys(scenarios).join(', ')}`)
    process.exit(2)
  }
  const result = { sessions: Number(count), failed: 0, transports: {}, backends: {}, errors: [] }
  const one = async number => {
    const session = new Session(url, number)
    try {
      await withLimit(sessionLimit, Promise.race([scenario(session), session.failure]))
      add(result.backends, session.from)
      if (session.transport) add(result.transports, session.transport)
    } catch (err) {
      result.failed++
      if (result.errors.length < errorsKept) result.errors.push(`session ${number}: ${err && err.message ? err.message : brief(err)}`)
    }
    for (const cleanup of session.cleanups) await atMost(cleanupLimit, cleanup)
  }
  process.on('unhandledRejection', reason => { result.errors.push('unhandled: ' + (reason && reason.message)) })
  await Promise.all(Array.from({ length: result.sessions }, (_, i) => one(i)))
  await atMost(cleanupLimit, end)
  process.stdout.write(JSON.stringify(result) + '\n', () => process.exit(0))
}

// once resolves with the first argument of the next event of that name.
exports.once = (emitter, event) => new Promise(resolve => emitter.once(event, resolve))

// atMost does what comes after a session, whose verdict stands by then.
async function atMost (limit, f) {
  try { await withLimit(limit, f()) } catch { /* the process ends soon anyway */ }
}

function withLimit (limit, promise) {
  let timer
  const end = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${limit} ms`)), limit)
  })
  return Promise.race([promise, end]).finally(() => clearTimeout(timer))
}

function same (a, b) {
  if (Buffer.isBuffer(b)) return isBytes(a) && Buffer.from(a.buffer || a, a.byteOffset, a.byteLength).equals(b)
  return a === b
}

function difference (sent, got) {
  if (typeof sent !== 'string' || typeof got !== 'string') return `sent ${brief(sent)}, got back ${brief(got)}`
  let at = 0
  while (at < sent.length && sent[at] === got[at]) at++
  return `sent ${sent.length} characters, got back ${got.length}, the first difference at ${at}: ${brief(sent.slice(at, at + 20))} is ${brief(got.slice(at, at + 20))}`
}

const isBytes = x => x instanceof ArrayBuffer || ArrayBuffer.isView(x)

function add (counts, key) { counts[key] = (counts[key] || 0) + 1 }

function brief (value) {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return String(text).slice(0, 120)
}
