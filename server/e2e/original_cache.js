'use strict'
// node original_cache.js <url> <port of a Redis> <key prefix>
//
// has the cache of deepstream.io 4 to 10 for Redis, its own connector, put the record
// "theirs"; a client of the node at the URL read it, and write the record "ours"; and
// the connector get that. Prints both as they were read, null for nothing:
// {"theirs":data,"ours":[version,data]}.
const { CacheConnector } = require('@deepstream/cache-redis')
const { connect } = require('./clients')

const fatal = (...what) => { throw new Error(what.join(' ')) }
const services = { logger: { getNameSpace: () => ({ fatal, warn: console.warn }) } }

async function main ([url, port, keyPrefix]) {
  const cache = new CacheConnector({ host: '127.0.0.1', port: Number(port), keyPrefix }, services, {})
  await cache.whenReady()
  await new Promise((resolve, reject) =>
    cache.set('theirs', 3, { by: 'deepstream.io' }, (error) => error ? reject(error) : resolve()))
  const client = connect('7', url, {})
  await client.login({})
  const theirs = await client.snapshot('theirs').catch((e) => {
    if (e.message !== 'RECORD_NOT_FOUND') throw e
    return null
  })
  const record = await client.record('ours')
  await record.setWithAck('by', 'the node')
  const ours = await new Promise((resolve, reject) =>
    cache.get('ours', (error, version, data) => error ? reject(error) : resolve([version, data])))
  console.log(JSON.stringify({ theirs, ours }))
}

main(process.argv.slice(2)).then(() => process.exit()).catch((e) => {
  console.error(e)
  process.exit(1)
})
