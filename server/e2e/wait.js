'use strict'

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

// until waits for a condition, which may be asynchronous, and fails loudly.
async function until (what, condition) {
  const end = Date.now() + 20000
  while (!await condition()) {
    if (Date.now() > end) throw new Error('waited in vain for ' + what)
    await pause(5)
  }
}

// failure is the reason of a promise that is to be broken.
const failure = (promise) => promise.then((v) => 'no error but ' + JSON.stringify(v), (e) => e.message)

module.exports = { pause, until, failure }
