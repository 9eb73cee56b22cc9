'use strict'
// Pages in a real browser, named by the variable CHROME: each tab is a session,
// and all tabs share what a browser's tabs share, cookies and connections.

const { chromium } = require('playwright-core')
const { run } = require('../lib/sessions')

const browser = chromium.launch({
  executablePath: process.env.CHROME,
  headless: true,
  args: [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'
  ]
})
const context = browser.then(b => b.newContext())

const page = path => async session => {
  const tab = await (await context).newPage()
  session.onEnd(() => tab.close())
  tab.on('pageerror', err => session.fail(new Error('page: ' + err.message)))
  await tab.goto(path(new URL(session.url)))
  const result = await (await tab.waitForFunction(() => window.result, null, { timeout: 0 })).jsonValue()
  if (result.error) throw new Error(result.error)
  session.answeredBy(result.from)
  session.transport = result.transport
}

const close = async () => (await browser).close()
run({
  socketio: page(url => `${url.origin}/page/socketio.html`),
  deepstream: page(url => `${url.origin}/page/deepstream.html`),
  // The page is of another origin than the session, which therefore begins its
  // POSTs with a preflight: OPTIONS with the session's id.
  'deepstream-cors': page(url => `http://localhost:${url.port}/page/deepstream.html?host=${url.host}`)
}, close)
