'use strict'
// The graphql-sse client: its single connection mode, where one stream carries
// the answers to all operations, and the distinct mode, which has no session.

const { createClient } = require('graphql-sse')
const { run, converse, bigASCII } = require('../lib/sessions')

const session = (single, options) => async session => {
  const client = createClient({ url: session.url + '/graphql/stream', singleConnection: single, lazy: false, retryAttempts: 0 })
  session.onEnd(() => client.dispose())
  const results = (query, data) => new Promise((resolve, reject) => {
    const got = []
    client.subscribe({ query, variables: { data } }, {
      next: result => got.push(result),
      error: err => reject(new Error(err.message || JSON.stringify(err))),
      complete: () => resolve(got)
    })
  })
  const ask = async data => {
    const [result] = await results('query ($data: String) { echo(data: $data) { from data } }', data)
    return result.data.echo
  }
  if (single) {
    await converse(session, ask, options)
    const parts = await results('subscription ($data: String) { echoes(data: $data) { from data } }', 'one two three')
    parts.forEach((part, i) => session.check(part.data.echoes, ['one', 'two', 'three'][i]))
  } else {
    // Each operation is a request of its own: any backend may answer it.
    for (let i = 0; i < 6; i++) {
      const { data } = await ask('word ' + i)
      if (data !== 'word ' + i) throw new Error('got ' + data)
    }
  }
  session.transport = single ? 'single connection' : 'distinct connections'
}

run({
  single: session(true, {}),
  // The server's body reader decodes each chunk alone, so long texts are ASCII.
  'single-big': session(true, { big: true, bigText: bigASCII }),
  distinct: session(false, {})
})
