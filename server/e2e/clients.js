'use strict'
// The clients of three generations behind one asynchronous face.

const WAIT = 5000

function timeout (what, promise) {
  let timer
  const late = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error('no answer: ' + what)), WAIT)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

const clone = (v) => v === undefined ? undefined : JSON.parse(JSON.stringify(v))

// text is deepstream 1 and 2, whose API is made of callbacks.
function text (factory, url, options, features) {
  const client = factory(url, options)
  const errors = []
  client.on('error', (message, event, topic) => errors.push([event, topic].join(' ')))
  const api = {
    features,
    errors,
    client,
    login: (auth) => timeout('login', new Promise((resolve, reject) =>
      client.login(auth, (ok, code, data) => ok ? resolve(ok && (data === undefined ? code : data)) : reject(new Error(String(code)))))),
    close: () => client.close(),
    emit: (name, data) => client.event.emit(name, data),
    subscribe: (name, f) => client.event.subscribe(name, f),
    unsubscribe: (name, f) => client.event.unsubscribe(name, f),
    listenEvent: (pattern, f) => client.event.listen(pattern, listener(f)),
    listenRecord: (pattern, f) => client.record.listen(pattern, listener(f)),
    provide: (name, f) => client.rpc.provide(name, f),
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
        setWithAck: (path, data) => timeout('write acknowledgement', new Promise((resolve, reject) =>
          r.set(path, data, (error) => error ? reject(new Error(error)) : resolve()))),
        subscribe: (f) => r.subscribe((data) => f(clone(data))),
        provider: (f) => { r.on('hasProviderChanged', f); if (r.hasProvider) f(true) },
        version: () => Number(r.version),
        discard: () => r.discard(),
        onDelete: (f) => r.on('delete', f),
        delete: () => timeout('delete', new Promise((resolve) => { r.on('delete', resolve); r.delete() }))
      }))
    })),
    list: (name) => timeout('list', new Promise((resolve) => {
      const l = client.record.getList(name)
      l.whenReady(() => resolve({ add: (e) => l.addEntry(e), entries: () => l.getEntries() }))
    })),
    present: () => timeout('presence', new Promise((resolve) => client.presence.getAll(resolve))),
    onPresence: (f) => client.presence.subscribe((user, on) => f(user, on)),
    upsert: (name, data) => timeout('upsert', new Promise((resolve, reject) =>
      client.record.setData(name, data, (error) => error ? reject(new Error(error)) : resolve())))
  }
  return api
}

function listener (f) {
  return (match, isSubscribed, response) => {
    if (!isSubscribed) { f(match, false); return }
    if (f(match, true) === false) response.reject()
    else response.accept()
  }
}

// browser1 is client 1 as browsers have it: engine.io, polling first.
function browser1 (url, options) {
  require('client1/src/utils/utils').isNode = false
  return text(require('client1'), url, options, { presence: false, ack: false })
}

function client2 (url, options) {
  return text(require('client2'), url.replace(/^http/, 'ws') + '/deepstream-v3', options, { presence: true, ack: true })
}

function client7 (url, options) {
  const { DeepstreamClient } = require('client7')
  const client = new DeepstreamClient(url.replace(/^http/, 'ws') + '/deepstream', options)
  const errors = []
  client.on('error', (message, event, topic) => errors.push([event, topic].join(' ')))
  const modern = (f) => (match, response) => {
    if (f(match, true) === false) { response.reject(); return }
    response.accept()
    response.onStop(() => f(match, false))
  }
  const message = (e) => { throw e instanceof Error ? e : new Error(String(e)) }
  return {
    features: { presence: true, ack: true },
    errors,
    client,
    login: (auth) => timeout('login', client.login(auth).catch(message)),
    close: () => client.close(),
    emit: (name, data) => client.event.emit(name, data),
    subscribe: (name, f) => client.event.subscribe(name, f),
    unsubscribe: (name, f) => client.event.unsubscribe(name, f),
    listenEvent: (pattern, f) => client.event.listen(pattern, modern(f)),
    listenRecord: (pattern, f) => client.record.listen(pattern, modern(f)),
    provide: (name, f) => client.rpc.provide(name, f),
    call: (name, data) => timeout('rpc', client.rpc.make(name, data).then(clone, message)),
    snapshot: (name) => timeout('snapshot', client.record.snapshot(name).then(clone, message)),
    has: (name) => timeout('has', client.record.has(name).catch(message)),
    record: (name) => timeout('record', client.record.getRecord(name).whenReady().then((r) => ({
      get: (path) => clone(r.get(path)),
      set: (a, b) => b === undefined ? r.set(a) : r.set(a, b),
      setWithAck: (path, data) => timeout('write acknowledgement', r.setWithAck(path, data).catch(message)),
      subscribe: (f) => r.subscribe((data) => f(clone(data))),
      provider: (f) => { r.record.on('hasProviderChanged', f); if (r.hasProvider) f(true) },
      version: () => r.version,
      discard: () => r.discard(),
      onDelete: (f) => r.on('delete', f),
      delete: () => timeout('delete', r.delete().catch(message))
    }))),
    list: (name) => timeout('list', client.record.getList(name).whenReady().then((l) => ({
      add: (e) => l.addEntry(e), entries: () => l.getEntries()
    }))),
    present: () => timeout('presence', client.presence.getAll()),
    onPresence: (f) => client.presence.subscribe((user, on) => f(user, on)),
    upsert: (name, data) => timeout('upsert', client.record.setDataWithAck(name, data).catch(message))
  }
}

module.exports = { 1: browser1, 2: client2, 7: client7 }
