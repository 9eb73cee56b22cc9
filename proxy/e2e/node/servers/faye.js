'use strict'
// Faye. A client inside the server answers what is published to /ask/ID on
// /answer/ID.

const faye = require('faye')
const { answer, listen, httpServer } = require('../lib/backend')

const server = httpServer()
const bayeux = new faye.NodeAdapter({ mount: '/faye', timeout: 10 })
bayeux.attach(server)
const inside = bayeux.getClient()
inside.subscribe('/ask/*').withChannel((channel, { n, data }) => {
  inside.publish(channel.replace('/ask/', '/answer/'), { n, ...answer(data) })
})
listen(server)
