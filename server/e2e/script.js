'use strict'
// node script.js <url>[,<url>[,<url>]] <generation>,<generation>[,<generation>] [options [stored]]
//
// plays every feature with two clients, a and b, and a third, c, where it takes
// one, and prints what they saw: one JSON array a line, its first element the name
// of what was tried. Where a client has no call for it the line says whose
// (["head","not in client 1"]). It fails where the lines are not those of
// testdata/script.jsonl.
//
// Client n connects to the nth URL, or to the last one given; c is of b's
// generation unless its own is given. The options are the clients'. The nodes need
// to be new, with the hot path prefix hot/, a time-out of 1.5 s for calls, and logins
// that have the data {"role":"player"} for the client. With "stored" they have a
// storage, which is not given names that begin with volatile/.
const fs = require('fs')
const path = require('path')
const { connect } = require('./clients')

const [rawURLs, rawGenerations, rawOptions, rawStored] = process.argv.slice(2)
const nth = (list, n) => list[Math.min(n, list.length - 1)]
const urls = rawURLs.split(',')
const generations = rawGenerations.split(',')
const options = rawOptions ? JSON.parse(rawOptions) : {}

// lines are what was seen, skipped the names of what was not tried.
const lines = []
const skipped = new Map()

function say (...what) {
  const line = JSON.stringify(what)
  lines.push(line)
  console.log(line)
}

// open logs another client in, as the nth.
async function open (n, username) {
  const client = connect(nth(generations, n), nth(urls, n), options)
  await client.login({ username })
  return client
}

// able tells whether a client can; where it cannot, it says so.
function able (name, client, ability) {
  if (client.can(ability)) return true
  without(name, 'not in client ' + client.generation)
  return false
}

// without says why something is not tried.
function without (name, why) {
  say(name, why)
  skipped.set(name, lines[lines.length - 1])
}

// expected is what everyone has to see, without what was not tried.
function expected () {
  const golden = fs.readFileSync(path.join(__dirname, 'testdata', 'script.jsonl'), 'utf8').trim().split('\n')
  const adapted = golden.map((line) => skipped.get(JSON.parse(line)[0]) || line)
  return adapted.filter((line, i) => line !== adapted[i - 1])
}

async function main () {
  const t = { say, able, without, open, stored: rawStored === 'stored', a: await open(0, 'alice'), b: await open(1, 'bob'), c: await open(2, 'carol') }
  for (const part of ['events', 'records', 'writes', 'deletes', 'calls', 'listening', 'presence', 'reconnection']) {
    for (const step of Object.values(require('./parts/' + part))) await step(t)
  }
  // A client that merges may be told twice that it has to; clients 1 and 2 are
  // surprised by an update that crossed their delete.
  const known = /VERSION_EXISTS|UNSOLICITED_MESSAGE R (contested|doomed)/
  say('errors', ...[t.a, t.b, t.c].map((client) => client.errors.filter((e) => !known.test(e))))
  for (const client of [t.a, t.b, t.c]) client.close()
  say('done')
  const want = expected()
  const differ = Array.from({ length: Math.max(want.length, lines.length) }, (_, i) => i).filter((i) => want[i] !== lines[i])
  differ.forEach((i) => console.error(`line ${i + 1} is\n  ${lines[i]}\nand not\n  ${want[i]}`))
  setTimeout(() => process.exit(differ.length > 0 ? 1 : 0), 50)
}

main().catch((e) => { console.error(e); process.exit(1) })
