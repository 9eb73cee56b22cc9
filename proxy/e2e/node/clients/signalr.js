'use strict'
// The @microsoft/signalr client: its own choice of transport after a
// negotiation, each transport alone, and a WebSocket without negotiation.

const { HubConnectionBuilder, HttpTransportType, LogLevel } = require('@microsoft/signalr')
const { run, converse } = require('../lib/sessions')

const session = (transport, options = {}) => async session => {
  const hub = new HubConnectionBuilder()
    .withUrl(session.url + '/hub', { transport, skipNegotiation: !!options.direct })
    .configureLogging(LogLevel.None)
    .build()
  session.onEnd(() => hub.stop())
  hub.onclose(err => session.fail(new Error('closed: ' + (err && err.message))))
  const pushed = new Promise(resolve => hub.on('Pushed', resolve))
  await hub.start()
  await converse(session, data => hub.invoke('Echo', data), options)
  await hub.send('Push', 'now you')
  session.check(await pushed, 'now you')
  session.transport = hub.connection.transport.constructor.name
}

const { WebSockets, ServerSentEvents, LongPolling } = HttpTransportType
run({
  default: session(undefined),
  websockets: session(WebSockets),
  'websockets-big': session(WebSockets, { big: true }),
  'websockets-direct': session(WebSockets, { direct: true }),
  sse: session(ServerSentEvents),
  'sse-big': session(ServerSentEvents, { big: true }),
  longpolling: session(LongPolling),
  'longpolling-big': session(LongPolling, { big: true })
})
