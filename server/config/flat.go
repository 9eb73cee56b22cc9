package config

import (
	"regexp"
	"strings"

	"github.com/dsproxy/dsproxy/server"
	"github.com/dsproxy/dsproxy/server/session"
)

// readFlat reads the keys that the 1.x line has at the top of the file, besides
// those that both lines have.
func readFlat(s *section, to *Settings) {
	c := &to.Node
	s.skip("colors", "externalUrl", "tcpHost", "tcpPort", "timeBetweenSendingQueuedPackages", "maxMessagesPerPacket",
		"rpcProviderQueryTimeout", "rpcProviderCacheTime", "dependencyInitialisationTimeout", "stateReconciliationTimeout",
		"clusterKeepAliveInterval", "clusterActiveCheckInterval", "clusterNodeInactiveTimeout",
		"lockTimeout", "lockRequestTimeout")

	tcp, web := false, true
	s.flag("tcpServerEnabled", &tcp)
	if tcp {
		s.warn("tcpServerEnabled", "has no effect: there is no port for TCP; clients of 1.x in Node.js, which use nothing else, have to be 2.x or later")
	}
	s.flag("webServerEnabled", &web)
	if !web {
		s.fail("webServerEnabled", "must be true: nobody could connect")
	}
	if path := c.EngineIO.Path; s.given("urlPath") {
		readPath(s, "urlPath", &path)
		c.EngineIO.Path, c.Binary.Path = path, path
	} else {
		s.skip("urlPath")
	}

	size := 0
	if s.number("maxMessageSize", &size, 1, 1<<30) {
		setMessageSize(c, int64(size))
	}
	timeout, attempts := c.Binary.Limits.UnauthenticatedTimeout, c.Binary.Limits.MaxAuthAttempts
	s.millisOrNever("unauthenticatedClientTimeout", &timeout)
	s.number("maxAuthAttempts", &attempts, 1, 1<<30)
	for _, l := range allLimits(c) {
		l.UnauthenticatedTimeout, l.MaxAuthAttempts = timeout, attempts
	}
	warnAuthData(s, "logInvalidAuthData")

	s.millis("rpcAckTimeout", &c.RPC.AckTimeout, 1)
	s.millis("rpcTimeout", &c.RPC.ResponseTimeout, 1)
	s.millis("cacheRetrievalTimeout", &c.Store.CacheTimeout, 1)
	s.millis("storageRetrievalTimeout", &c.Store.StorageTimeout, 1)
	s.millis("listenResponseTimeout", &c.Listen.ResponseTimeout, 1)
	readExclusion(s, c)
	readFlatSSL(s, c)
}

func allLimits(c *server.Config) []*session.Limits {
	return []*session.Limits{&c.Binary.Limits, &c.Text.Limits, &c.JSON.Limits, &c.EngineIO.Limits}
}

// plainPrefix is a regular expression that asks for a beginning and no more.
var plainPrefix = regexp.MustCompile(`^\^((?:[A-Za-z0-9_/:@#%&=~ -]|\\[./$+-])+)(?:\.\*\$?)?$`)

// readExclusion reads storageExclusion, a regular expression in the 1.x line; one
// that asks for a prefix is understood.
func readExclusion(s *section, c *server.Config) {
	var pattern string
	if !s.text("storageExclusion", &pattern) {
		return
	}
	m := plainPrefix.FindStringSubmatch(strings.Trim(pattern, "/"))
	if m == nil {
		s.fail("storageExclusion", `must ask for a prefix, as in "^no-storage/"; write others as record.storageExclusionPrefixes`)
		return
	}
	c.Store.ExclusionPrefixes = []string{strings.ReplaceAll(m[1], `\`, "")}
}

func readFlatSSL(s *section, c *server.Config) {
	key, cert, ca := pem(s, "sslKey"), pem(s, "sslCert"), pem(s, "sslCa")
	if key != "" || cert != "" {
		setCertificate(s, "sslCert", c, key, cert, ca)
	}
}
