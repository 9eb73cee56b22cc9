package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestLogOfHTTP: what net/http has to say of clients is in the node's log, in its form.
func TestLogOfHTTP(t *testing.T) {
	web := httptest.NewUnstartedServer(nil)
	web.StartTLS()
	defer web.Close()
	var log lockedBuffer
	s := startNode(t, func(c *Config) {
		c.TLS = &tls.Config{Certificates: web.TLS.Certificates}
		c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("this is no handshake of TLS\n")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the client is in the log", func() error {
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "TLS handshake error") && strings.Contains(line, "level=DEBUG") {
				return nil
			}
		}
		return fmt.Errorf("the log is\n%s", log.String())
	})
}
