'use strict'
// The clients of three generations behind one asynchronous face.

const { until } = require('./wait')

// What a client has calls for. What it has none for its face does not have
// either, and the script says so in place of what would have been seen. No
// generation here has a call for PATCH_MULTI: client 7 sends it by its connection.
const abilities = {
  1: [],
  2: ['ack', 'upsert', 'head', 'presence'],
  7: ['ack', 'upsert', 'head', 'presence', 'headBulk', 'notify', 'patchMulti', 'requestor', 'listenTimeout'],
  json: ['ack', 'upsert', 'head', 'presence', 'headBulk', 'notify', 'patchMulti', 'requestor', 'listenTimeout']
}

const WAIT = 5000
// A login and a record come by themselves in the end, however many wait for theirs on a
// machine that is slow. What is lost for good is asked for again after WAIT.
const PATIENCE = 30000

function timeout (what, promise, wait = WAIT) {
  let timer
  const late = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error('no answer: ' + what)), wait)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

const clone = (v) => v === undefined ? undefined : JSON.parse(JSON.stringify(v))

// text is deepstream 1 and 2, whose API is made of callbacks.
function text (factory, url, options) {
  const client = factory(url, options)
  const errors = []
  client.on('error', (message, event, topic) => errors.push([event, topic, message].join(' ')))
  return {
    errors,
    client,
    login: (auth) => timeout('login', new Promise((resolve, reject) =>
      client.login(auth, (ok, code, data) => ok ? resolve(ok && (data === undefined ? code : data)) : reject(new Error(String(code))))), PATIENCE),
    close: () => client.close(),
    cut: () => client._connection._endpoint.close(),
    emit: (name, data) => client.event.emit(name, data),
    subscribe: (name, f) => client.event.subscribe(name, f),
    unsubscribe: (name, f) => client.event.unsubscribe(name, f),
    listenEvent: (pattern, f) => client.event.listen(pattern, listener(f)),
    unlistenEvent: (pattern) => client.event.unlisten(pattern),
    listenRecord: (pattern, f) => client.record.listen(pattern, listener(f)),
    unlistenRecord: (pattern) => client.record.unlisten(pattern),
    provide: (name, f) => client.rpc.provide(name, f),
    provideSilently: (name) => client.rpc.provide(name, (data, response) => { response.autoAck = false }),
    unprovide: (name) => client.rpc.unprovide(name),
    call: (name, data) => timeout('rpc', new Promise((resolve, reject) =>
      client.rpc.make(name, data, (error, result) => error ? reject(new Error(error)) : resolve(clone(result))))),
    snapshot: (name) => timeout('snapshot', new Promise((resolve, reject) =>
      client.record.snapshot(name, (error, data) => error ? reject(new Error(error)) : resolve(clone(data))))),
    has: (name) => timeout('has', new Promise((resolve, reject) =>
      client.record.has(name, (error, has) => error ? reject(new Error(error)) : resolve(has)))),
    record: (name) => timeout('record', new Promise((resolve) => {
      const r = client.record.getRecord(name)
      r.whenReady(() => resolve({
        get: (path) => clone(r.get(path)),
        set: (a, b) => b === undefined ? r.set(a) : r.set(a, b),
        erase: (path) => r.set(path, undefined),
        setWithAck: (path, data) => timeout('write acknowledgement', new Promise((resolve, reject) =>
          r.set(path, data, (error) => error ? reject(new Error(error)) : resolve()))),
        subscribe: (f) => r.subscribe((data) => f(clone(data))),
        provider: (f) => { r.on('hasProviderChanged', f); if (r.hasProvider) f(true) },
        version: () => Number(r.version),
        // The client confuses a record that is asked for again before this is done.
        discard: () => timeout('discard', new Promise((resolve) => { r.on('discard', resolve); r.discard() })),
        onDelete: (f) => r.on('delete', f),
        delete: () => timeout('delete', new Promise((resolve) => { r.on('delete', resolve); r.delete() }))
      }))
    }), PATIENCE),
    list: (name) => timeout('list', new Promise((resolve) => {
      const l = client.record.getList(name)
      l.whenReady(() => resolve({ add: (e) => l.addEntry(e), remove: (e) => l.removeEntry(e), entries: () => l.getEntries() }))
    })),
    // Client 2 has an error for what is not there, client 7 a version of -1.
    head: (name) => timeout('head', new Promise((resolve, reject) =>
      client.record.head(name, (error, version) => error === 'RECORD_NOT_FOUND' ? resolve(-1) : error ? reject(new Error(error)) : resolve(version)))),
    present: () => timeout('presence', new Promise((resolve) => client.presence.getAll(resolve))),
    presentOf: (users) => timeout('presence of some', new Promise((resolve) => client.presence.getAll(users, resolve))),
    ...presence(client, (user, f) => (on) => f(user, on)),
    upsert: (name, data) => timeout('upsert', new Promise((resolve, reject) =>
      client.record.setData(name, data, (error) => error ? reject(new Error(error)) : resolve()))),
    upsertPath: (name, path, data) => timeout('upsert of a path', new Promise((resolve, reject) =>
      client.record.setData(name, path, data, (error) => error ? reject(new Error(error)) : resolve())))
  }
}

// listener accepts where f does not return false, which rejects, or 'nothing'.
function listener (f) {
  return (match, isSubscribed, response) => {
    const answer = f(match, isSubscribed)
    if (!isSubscribed || answer === 'nothing') return
    if (answer === false) response.reject()
    else response.accept()
  }
}

// presence subscribes, and returns what ends that. The clients of some users are told
// of in different ways.
const presence = (client, some) => ({
  onPresence: (f) => {
    const told = (user, on) => f(user, on)
    client.presence.subscribe(told)
    return () => client.presence.unsubscribe(told)
  },
  onPresenceOf: (user, f) => {
    const told = some(user, f)
    client.presence.subscribe(user, told)
    return () => client.presence.unsubscribe(user, told)
  }
})

// browser1 is client 1 as browsers have it: engine.io, polling first.
function browser1 (url, options) {
  require('client1/src/utils/utils').isNode = false
  return text(require('client1'), url, options)
}

function client2 (url, options) {
  return text(require('client2'), url.replace(/^http/, 'ws') + '/deepstream-v3', options)
}

function client7 (url, options) {
  return modern(url.replace(/^http/, 'ws') + '/deepstream', options)
}

// json7 is client 7 in its JSON mode.
function json7 (url, options) {
  return modern(url.replace(/^http/, 'ws') + '/deepstream-json', { socketOptions: { jsonTransportMode: true }, ...options })
}

// modern is deepstream 4 to 10, whose API is made of promises.
function modern (url, options) {
  const { DeepstreamClient } = require('client7')
  const client = new DeepstreamClient(url, { recordDiscardTimeout: 20, ...options })
  const errors = []
  client.on('error', (message, event, topic) => errors.push([event, topic, message].join(' ')))
  const provider = (f) => (match, response) => {
    const answer = f(match, true)
    if (answer === 'nothing') return
    if (answer === false) { response.reject(); return }
    response.accept()
    response.onStop(() => f(match, false))
  }
  const message = (e) => { throw e instanceof Error ? e : new Error(String(e)) }
  return {
    errors,
    client,
    login: (auth) => timeout('login', client.login(auth).catch(message), PATIENCE),
    close: () => client.close(),
    cut: () => client.services.connection.endpoint.close(),
    emit: (name, data) => client.event.emit(name, data),
    subscribe: (name, f) => client.event.subscribe(name, f),
    unsubscribe: (name, f) => client.event.unsubscribe(name, f),
    listenEvent: (pattern, f) => client.event.listen(pattern, provider(f)),
    unlistenEvent: (pattern) => client.event.unlisten(pattern),
    listenRecord: (pattern, f) => client.record.listen(pattern, provider(f)),
    unlistenRecord: (pattern) => client.record.unlisten(pattern),
    provide: (name, f) => client.rpc.provide(name, f),
    provideSilently: (name) => client.rpc.provide(name, (data, response) => { response.autoAccept = false }),
    unprovide: (name) => client.rpc.unprovide(name),
    call: (name, data) => timeout('rpc', client.rpc.make(name, data).then(clone, message)),
    snapshot: (name) => timeout('snapshot', client.record.snapshot(name).then(clone, message)),
    has: (name) => timeout('has', client.record.has(name).catch(message)),
    record: (name) => timeout('record', client.record.getRecord(name).whenReady().then((r) => ({
      get: (path) => clone(r.get(path)),
      set: (a, b) => b === undefined ? r.set(a) : r.set(a, b),
      erase: (path) => r.erase(path),
      setWithAck: (path, data) => timeout('write acknowledgement', r.setWithAck(path, data).catch(message)),
      subscribe: (f) => r.subscribe((data) => f(clone(data))),
      provider: (f) => { r.record.on('hasProviderChanged', f); if (r.hasProvider) f(true) },
      version: () => r.version,
      discard: async () => {
        await timeout('discard', new Promise((resolve) => { r.record.on('discard', resolve, r); r.discard() }))
        await until('the end of ' + name, () => !client.record.recordCores.has(name)) // until then it answers for the node
      },
      onDelete: (f) => r.on('delete', f),
      delete: () => timeout('delete', r.delete().catch(message))
    })), PATIENCE),
    list: (name) => timeout('list', client.record.getList(name).whenReady().then((l) => ({
      add: (e) => l.addEntry(e), remove: (e) => l.removeEntry(e), entries: () => l.getEntries()
    }))),
    head: (name) => timeout('head', client.record.head(name).catch(message)),
    notify: (names) => timeout('notify', client.record.notify(names).catch(message)),
    patchMulti: (name, version, changes) => client.services.connection.sendMessage(
      { topic: 5, action: 35, name, version, data: JSON.stringify(changes) }),
    present: () => timeout('presence', client.presence.getAll()),
    presentOf: (users) => timeout('presence of some', client.presence.getAll(users)),
    ...presence(client, (user, f) => f),
    upsert: (name, data) => timeout('upsert', client.record.setDataWithAck(name, data).catch(message)),
    upsertPath: (name, path, data) => timeout('upsert of a path', client.record.setDataWithAck(name, path, data).catch(message))
  }
}

const factories = { 1: browser1, 2: client2, 7: client7, json: json7 }

// connect makes a client that is not logged in yet.
function connect (generation, url, options) {
  return { generation, can: (ability) => abilities[generation].includes(ability), ...factories[generation](url, { ...options }) }
}

module.exports = { connect }
