package config

import (
	"crypto/tls"
	"fmt"
	"os"
	"strings"

	"github.com/dsproxy/dsproxy/server"
	"github.com/dsproxy/dsproxy/server/session"
)

// The default is every address of the machine, of IPv6 too.
const (
	defaultHost = ""
	defaultPort = 6020
)

// readServer reads where the node listens: httpServer, and host and port of the
// 1.x line. It returns the address.
func readServer(top *section, to *Settings) string {
	c := &to.Node
	host, port := defaultHost, defaultPort
	top.text("host", &host)
	top.number("port", &port, 1, 65535)

	p := top.plugin("httpServer")
	if p == nil {
		return joinAddr(host, port)
	}
	if !p.is("http", "default", "uws") {
		p.refuse("must be default or uws, which are the same here, not %q", p.kind)
	}
	s := p.options
	s.text("host", &host)
	s.text("hostname", &host)
	s.number("port", &port, 1, 65535)
	readPath(s, "healthCheckPath", &c.HealthPath)
	s.flag("allowAllOrigins", &c.Origins.All)
	s.texts("origins", &c.Origins.List)
	s.text("hostUrl", &c.Origins.Host)
	// The authentication sees all headers; outboxBytes bounds what waits for a client.
	s.skip("headers", "maxBackpressure")
	size := 0
	if s.number("maxMessageSize", &size, 1, 1<<30) {
		setMessageSize(c, int64(size))
	}
	if ssl := s.sub("ssl"); ssl != nil {
		readSSL(ssl, c)
	}
	s.close()
	return joinAddr(host, port)
}

func setMessageSize(c *server.Config, size int64) {
	for _, e := range []*server.Endpoint{c.Binary, c.Text, c.JSON} {
		if e != nil {
			e.MaxMessageSize = size
		}
	}
	if c.EngineIO != nil {
		c.EngineIO.MaxMessageSize = size
	}
}

func readPath(s *section, key string, to *string) {
	var path string
	if !s.text(key, &path) {
		return
	}
	if path[0] != '/' {
		s.fail(key, "must begin with a slash")
		return
	}
	*to = path
}

// readSSL reads the certificate: PEM text, as fileLoad() gives it, or the name of
// a file, as file() does.
func readSSL(s *section, c *server.Config) {
	key, cert, ca := pem(s, "key"), pem(s, "cert"), pem(s, "ca")
	var passphrase string
	if s.text("passphrase", &passphrase) {
		s.fail("passphrase", "is not possible: write the key without one")
	}
	if s.given("dhParams") {
		s.skip("dhParams")
		s.warn("dhParams", "has no effect: the key exchange is elliptic")
	}
	s.close()
	setCertificate(s, "cert", c, key, cert, ca)
}

// pem returns the text of a key or certificate.
func pem(s *section, key string) string {
	var text string
	if !s.text(key, &text) || strings.Contains(text, "-----BEGIN") {
		return text
	}
	b, err := os.ReadFile(s.r.path(text))
	if err != nil {
		s.fail(key, "is neither PEM nor a file that can be read: %v", err)
		return ""
	}
	return string(b)
}

func setCertificate(s *section, at string, c *server.Config, key, cert, ca string) {
	if key == "" || cert == "" {
		if len(s.r.errs) == 0 {
			s.r.fail(s.at.file, s.at.node.Line, "%s needs both a key and a certificate", nameOf(s.path))
		}
		return
	}
	// What the original calls ca completes the chain that clients are shown.
	pair, err := tls.X509KeyPair([]byte(cert+"\n"+ca), []byte(key))
	if err != nil {
		s.fail(at, "cannot be used: %v", err)
		return
	}
	c.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
}

// readEndpoints reads connectionEndpoints. A list names all endpoints that are on,
// but for that of deepstream 1, of which the original's files know nothing: it is
// on, at the path of ws-binary, unless an entry says otherwise.
func readEndpoints(top *section, c *server.Config) {
	was := *c
	seen := make(map[string]int)
	on := top.list("connectionEndpoints", func(i int, v value) {
		path := fmt.Sprintf("connectionEndpoints[%d]", i)
		p := readPlugin(top.r.section(v, path))
		if p == nil {
			return
		}
		if line, twice := seen[p.kind]; twice && p.kind != "" {
			p.refuse("%s is listed twice, first in line %d", p.kind, line)
			return
		}
		seen[p.kind] = p.at.line[p.key]
		if len(seen) == 1 {
			c.Binary, c.Text, c.JSON = nil, nil, nil
		}
		readEndpoint(p, &was, c)
	})
	if _, listed := seen["engineio"]; !listed && c.Binary != nil {
		c.EngineIO.Path = c.Binary.Path
	}
	if j := c.JSON; j != nil && (c.Binary != nil && c.Binary.Path == j.Path || c.Text != nil && c.Text.Path == j.Path) {
		top.fail("connectionEndpoints", "gives ws-json the path %s of another; only ws-binary and ws-text are told apart", j.Path)
	}
	if on && len(seen) == 0 && len(top.r.errs) == 0 {
		top.fail("connectionEndpoints", "must not be empty: nobody could connect")
	}
}

func readEndpoint(p *plugin, was, c *server.Config) {
	switch p.kind {
	case "ws-binary":
		c.Binary = readWebSocket(p.options, was.Binary)
	case "ws-text":
		c.Text = readWebSocket(p.options, was.Text)
	case "ws-json":
		c.JSON = readWebSocket(p.options, was.JSON)
	case "engineio":
		e, enabled := was.EngineIO, true
		s := p.options
		s.flag("enabled", &enabled)
		readPath(s, "urlPath", &e.Path)
		readSize(s, &e.MaxMessageSize)
		s.number("maxSockets", &e.MaxSockets, 0, 1<<30)
		s.millis("pingInterval", &e.PingInterval, 1)
		s.millis("pingTimeout", &e.PingTimeout, 1)
		readLimits(s, &e.Limits)
		s.close()
		if c.EngineIO = e; !enabled {
			c.EngineIO = nil
		}
	case "http":
		s := p.options
		s.skip("allowAuthData", "enableAuthEndpoint", "authPath", "postPath", "getPath", "requestTimeout",
			"logInvalidAuthData", "allowAllOrigins", "origins", "host", "port", "healthCheckPath", "maxMessageSize")
		s.close()
		p.warn("http has no effect: the HTTP API is not served")
	case "mqtt":
		s := p.options
		s.skip("port", "host", "ssl", "idleTimeout", "unauthenticatedClientTimeout", "maxAuthAttempts", "logInvalidAuthData")
		s.close()
		p.warn("mqtt has no effect: MQTT is not served")
	default:
		p.refuse("must be one of ws-binary, ws-text, ws-json, engineio, http and mqtt, not %q%s", p.kind, didYouMean(p.kind))
	}
}

// oldEndpoints are the names of the 4.x line.
var oldEndpoints = map[string]string{
	"uws-websocket": "ws-binary", "ws-websocket": "ws-binary", "websocket": "ws-binary", "node-http": "http",
}

func didYouMean(kind string) string {
	to := oldEndpoints[kind]
	if to == "" {
		to = nearest(kind, []string{"ws-binary", "ws-text", "ws-json", "engineio", "http", "mqtt"})
	}
	if to == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", to)
}

func readWebSocket(s *section, e *server.Endpoint) *server.Endpoint {
	readPath(s, "urlPath", &e.Path)
	readSize(s, &e.MaxMessageSize)
	s.millis("heartbeatInterval", &e.Limits.Heartbeat, 1)
	readLimits(s, &e.Limits)
	s.close()
	return e
}

func readSize(s *section, to *int64) {
	size := 0
	if s.number("maxMessageSize", &size, 1, 1<<30) {
		*to = int64(size)
	}
}

// readLimits reads what all endpoints have in common. Messages to a client leave
// as soon as they can and together when there are many, so the original's buffer
// times mean nothing.
func readLimits(s *section, to *session.Limits) {
	s.millisOrNever("unauthenticatedClientTimeout", &to.UnauthenticatedTimeout)
	s.number("maxAuthAttempts", &to.MaxAuthAttempts, 1, 1<<30)
	s.number("outboxBytes", &to.OutboxBytes, 1<<10, 1<<30)
	s.number("messagesPerSecond", &to.MessagesPerSecond, 0, 1<<30)
	s.skip("outgoingBufferTimeout", "maxBufferByteSize", "headers", "perMessageDeflate")
	warnAuthData(s, "logInvalidAuthData")
}

func warnAuthData(s *section, key string) {
	loud := false
	s.flag(key, &loud)
	if loud {
		s.warn(key, "has no effect: passwords are never logged")
	}
}
