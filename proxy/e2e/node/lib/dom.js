'use strict'
// As much of a browser's document as the JSONP transport of engine.io's client
// needs: a <script> put into the page is fetched and run, a <form> that is
// submitted is posted as application/x-www-form-urlencoded, after which its
// <iframe> has loaded. Nothing here knows of engine.io.

const http = require('http')
const vm = require('vm')

const agent = new http.Agent({ keepAlive: true })

class Element {
  constructor (tag) {
    this.tag = tag
    this.style = {}
    this.children = []
  }

  setAttribute (name, value) { this[name] = value }

  appendChild (child) {
    child.parentNode = this
    this.children.push(child)
    if (child.tag === 'script') runScript(child)
    return child
  }

  removeChild (child) {
    this.children = this.children.filter(c => c !== child)
    child.parentNode = null
    return child
  }

  submit () {
    const area = this.children.find(c => c.tag === 'textarea')
    // Browsers send line ends of form fields as CRLF.
    const value = area.value.replace(/\r?\n/g, '\r\n')
    const body = encodeURIComponent(area.name) + '=' + encodeURIComponent(value).replace(/%20/g, '+')
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': Buffer.byteLength(body) }
    // The client sets iframe.onload right after submit. A browser fires load
    // for an error page too, so a failed post is only seen by the server's silence.
    fetchText('POST', this.action, headers, body, () => {
      const frame = this.children.find(c => c.tag === 'iframe')
      if (frame && frame.onload) frame.onload()
    })
  }
}

function runScript (script) {
  fetchText('GET', script.src, {}, null, (err, status, text) => {
    if (!script.parentNode) return
    // A browser runs a script whatever its type says, but not one of an error status.
    if (err || status !== 200) script.onerror(err || new Error('status ' + status))
    else vm.runInThisContext(text)
  })
}

function fetchText (method, url, headers, body, done) {
  const req = http.request(url, { method, headers, agent }, res => {
    const parts = []
    res.on('data', part => parts.push(part))
    res.on('end', () => done(null, res.statusCode, Buffer.concat(parts).toString()))
  })
  req.on('error', err => done(err))
  req.end(body)
}

exports.install = () => {
  const body = new Element('body')
  globalThis.document = {
    body,
    head: new Element('head'),
    createElement: tag => {
      if (tag.startsWith('<')) throw new Error('not a tag name')
      return new Element(tag)
    },
    getElementsByTagName: () => []
  }
}
