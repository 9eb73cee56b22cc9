package config

import "fmt"

// homes tell where a key belongs that is found in the wrong section.
var homes = map[string]string{
	"healthCheckPath": "httpServer.options",
	"allowAllOrigins": "httpServer.options",
	"origins":         "httpServer.options",
	"ssl":             "httpServer.options",
	"host":            "httpServer.options",
	"port":            "httpServer.options",

	"urlPath":                      "the options of an entry of connectionEndpoints",
	"heartbeatInterval":            "the options of an entry of connectionEndpoints",
	"outgoingBufferTimeout":        "the options of an entry of connectionEndpoints",
	"maxBufferByteSize":            "the options of an entry of connectionEndpoints",
	"unauthenticatedClientTimeout": "the options of an entry of connectionEndpoints",
	"maxAuthAttempts":              "the options of an entry of connectionEndpoints",
	"outboxBytes":                  "the options of an entry of connectionEndpoints",
	"messagesPerSecond":            "the options of an entry of connectionEndpoints",
	"maxSockets":                   "the options of the entry engineio of connectionEndpoints",

	"ackTimeout":               "rpc",
	"provideRequestorName":     "rpc",
	"provideRequestorData":     "rpc",
	"cacheRetrievalTimeout":    "record",
	"storageRetrievalTimeout":  "record",
	"storageExclusionPrefixes": "record",
	"storageHotPathPrefixes":   "record",
	"shuffleProviders":         "listen",
	"rematchInterval":          "listen",
	"matchCooldown":            "listen",

	"endpointUrl":             "the options of an entry of auth",
	"users":                   "the options of an entry of auth",
	"iterations":              "the options of an entry of auth",
	"keyLength":               "the options of an entry of auth",
	"permissions":             "permission.options",
	"maxRuleIterations":       "permission.options",
	"cacheEvacuationInterval": "permission.options",

	"admin":          "the top of the file",
	"drainTimeout":   "the top of the file",
	"maxConnections": "the top of the file",
	"redirectUrl":    "the top of the file",
	"logLevel":       "the top of the file",
	"serverName":     "the top of the file",
}

// renamed says what to write for keys of the 2.x to 4.x lines that are different
// in those that we read.
var renamed = map[string]string{
	"storageHotPathPatterns": "write record.storageHotPathPrefixes, a list of prefixes",
	"shuffleListenProviders": "write listen.shuffleProviders",
	"broadcastTimeout":       "leave it out, messages to one client are joined as they come",
	"httpPort":               "write httpServer.options.port, all protocols share one port",
	"httpHost":               "write httpServer.options.host, all protocols share one port",
}

// close reports the keys that nobody read.
func (s *section) close() {
	if s == nil {
		return
	}
	isKnown := make(map[string]bool, len(s.known))
	for _, k := range s.known {
		isKnown[k] = true
	}
	for _, key := range s.keys {
		if isKnown[key] {
			continue
		}
		s.r.fail(s.vals[key].file, s.line[key], "unknown key %q in %s%s", key, nameOf(s.path), s.advice(key))
	}
}

// advice says what would be right in place of an unknown key.
func (s *section) advice(key string) string {
	if to := renamed[key]; to != "" {
		return "; " + to
	}
	if home := homes[key]; home != "" && home != s.path {
		return "; it belongs to " + home
	}
	if n := nearest(key, s.known); n != "" {
		return fmt.Sprintf("; did you mean %q?", n)
	}
	return ""
}
