'use strict'
// node follow.js <url>,<url>... <generation>,<generation>...
//
// has a client of each generation follow the record "followed", the nth at the nth URL,
// and prints what it is to whom: {"client":"7","data":{...}} a line. It writes {"p":"1"}
// when all have it, and ends with its standard input.
const { connect } = require('./clients')

async function main ([urls, generations]) {
  const records = []
  for (const [i, generation] of generations.split(',').entries()) {
    const client = connect(generation, urls.split(',')[i], { silentDeprecation: true })
    await client.login({ username: 'follower' + generation })
    const record = await client.record('followed')
    record.subscribe((data) => console.log(JSON.stringify({ client: generation, data })))
    records.push(record)
  }
  records[0].set({ p: '1' })
}

process.stdin.resume().on('end', () => process.exit())
main(process.argv.slice(2)).catch((e) => {
  console.error(e)
  process.exit(1)
})
