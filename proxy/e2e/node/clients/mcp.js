'use strict'
// The MCP SDK's Streamable HTTP client: initialize, tools, a notification on the
// GET stream, DELETE.

const { Client } = require('@modelcontextprotocol/sdk/client/index.js')
const { StreamableHTTPClientTransport } = require('@modelcontextprotocol/sdk/client/streamableHttp.js')
const { LoggingMessageNotificationSchema } = require('@modelcontextprotocol/sdk/types.js')
const { run, converse } = require('../lib/sessions')

const session = options => async session => {
  const transport = new StreamableHTTPClientTransport(new URL(session.url + '/mcp'))
  const client = new Client({ name: 'e2e', version: '1.0.0' })
  session.onEnd(() => client.close())
  client.onerror = err => session.fail(new Error('error: ' + err.message))
  const pushed = new Promise(resolve => {
    client.setNotificationHandler(LoggingMessageNotificationSchema, note => resolve(note.params.data))
  })
  await client.connect(transport)
  if (!transport.sessionId) throw new Error('no session id')
  const call = async (name, data) => {
    const result = await client.callTool({ name, arguments: { data } })
    return JSON.parse(result.content[0].text)
  }
  await converse(session, data => call('echo', data), options)
  session.check(await call('push', 'now you'), 'now you')
  session.check(await pushed, 'now you')
  client.onerror = undefined
  await transport.terminateSession()
  session.transport = 'streamable-http'
}

run({ default: session({}), big: session({ big: true }) })
