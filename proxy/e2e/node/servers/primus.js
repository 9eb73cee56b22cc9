'use strict'
// Primus on one of its transformers: `node servers/primus.js NAME engine.io`.

const Primus = require('primus')
const { answer, listen, httpServer } = require('../lib/backend')

const server = httpServer()
const primus = new Primus(server, { transformer: process.argv[3], pathname: '/primus' })
primus.on('connection', spark => {
  spark.on('data', ({ n, data }) => spark.write({ n, ...answer(data) }))
})
listen(server)
