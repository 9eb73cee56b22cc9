'use strict'
// An MCP server at /mcp with sessions (Streamable HTTP), one tool, and a
// notification on the stream that the client holds open with GET.

const crypto = require('crypto')
const { McpServer } = require('@modelcontextprotocol/sdk/server/mcp.js')
const { StreamableHTTPServerTransport } = require('@modelcontextprotocol/sdk/server/streamableHttp.js')
const { z } = require('zod')
const { answer, listen, httpServer } = require('../lib/backend')

const transports = new Map()

async function open () {
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: () => crypto.randomUUID(),
    onsessioninitialized: id => transports.set(id, transport),
    onsessionclosed: id => transports.delete(id)
  })
  const mcp = new McpServer({ name: 'echo', version: '1.0.0' }, { capabilities: { logging: {} } })
  const text = value => ({ content: [{ type: 'text', text: JSON.stringify(value) }] })
  mcp.registerTool('echo', { inputSchema: { data: z.string() } }, async ({ data }) => text(answer(data)))
  mcp.registerTool('push', { inputSchema: { data: z.string() } }, async ({ data }) => {
    await mcp.server.sendLoggingMessage({ level: 'info', data: answer(data) })
    return text(answer(data))
  })
  await mcp.connect(transport)
  return transport
}

const server = httpServer()
server.removeAllListeners('request')
server.on('request', async (req, res) => {
  const id = req.headers['mcp-session-id']
  if (req.url !== '/mcp' || (id && !transports.has(id))) {
    res.writeHead(404, { 'Content-Type': 'application/json' })
    res.end(JSON.stringify({ jsonrpc: '2.0', error: { code: -32001, message: 'Session not found' }, id: null }))
    return
  }
  const transport = id ? transports.get(id) : await open()
  await transport.handleRequest(req, res)
})
listen(server)
