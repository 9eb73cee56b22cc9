'use strict'
// GraphQL over server-sent events at /graphql/stream, in both of its modes.

const { GraphQLSchema, GraphQLObjectType, GraphQLString } = require('graphql')
const { createHandler } = require('graphql-sse/lib/use/http')
const { answer, listen, httpServer } = require('../lib/backend')

const echoed = new GraphQLObjectType({ name: 'Echoed', fields: { from: { type: GraphQLString }, data: { type: GraphQLString } } })
const echo = { type: echoed, args: { data: { type: GraphQLString } } }
const schema = new GraphQLSchema({
  query: new GraphQLObjectType({ name: 'Query', fields: { echo: { ...echo, resolve: (_, { data }) => answer(data) } } }),
  subscription: new GraphQLObjectType({
    name: 'Subscription',
    fields: {
      echoes: {
        ...echo,
        subscribe: async function * (_, { data }) {
          for (const part of data.split(' ')) yield { echoes: answer(part) }
        }
      }
    }
  })
})
const handler = createHandler({ schema })
const server = httpServer()
const [notFound] = server.listeners('request')
server.removeAllListeners('request')
server.on('request', (req, res) => req.url.startsWith('/graphql/stream') ? handler(req, res) : notFound(req, res))
listen(server)
