'use strict'
const { pause, until } = require('../wait')

exports.presence = async ({ a, say, able, open }) => {
  if (!able('presence', a, 'presence')) return
  say('presence', (await a.present()).sort())
  say('presence', await a.presentOf(['bob', 'nobody']))
  const all = []
  const some = []
  const frank = await open(0, 'frank')
  const leaveAll = a.onPresence((user, on) => all.push([user, on]))
  const leaveSome = frank.onPresenceOf('dave', (user, on) => some.push([user, on]))
  await pause(200) // neither has an answer that the clients show
  const dave = await open(1, 'dave')
  const twice = await open(2, 'dave')
  const erin = await open(2, 'erin')
  await until('two that join', () => all.length === 2 && some.length === 1)
  dave.close()
  await pause(100)
  erin.close()
  await until('one that leaves', () => all.length === 3)
  twice.close()
  await until('the last that leaves', () => all.length === 4 && some.length === 2)
  say('presence', all, some)
  leaveAll()
  leaveSome()
  const last = []
  frank.onPresenceOf('gail', (user, on) => last.push([user, on]))
  a.onPresenceOf('gail', (user, on) => last.push([user, on]))
  await pause(200)
  const again = [await open(1, 'dave'), await open(1, 'gail')]
  await until('one of some', () => last.length === 2)
  say('presence', last, all.length, some.length)
  again.forEach((client) => client.close())
  frank.close()
}
