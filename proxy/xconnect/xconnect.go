// Package xconnect has net/http announce extended CONNECT (RFC 8441), which
// WebSockets over HTTP/2 need. net/http reads the setting http2xconnect when it
// is initialised, and Go initialises packages without pending imports in the
// order of their paths: this one imports os only, so it comes first.
package xconnect

import "os"

func init() {
	v := os.Getenv("GODEBUG")
	if v != "" {
		v += ","
	}
	os.Setenv("GODEBUG", v+"http2xconnect=1")
}
