package proxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// certPoll is how often certificate files are looked at. Two stat calls a
// listener cost nothing, and unlike inotify they see a renamed symlink.
const certPoll = 5 * time.Second

// certificate is a TLS certificate that follows its files. Connections that
// are open keep the one they were made with.
type certificate struct {
	files   TLSFiles
	log     *slog.Logger
	current atomic.Pointer[tls.Certificate]
	stamp   [2]fileStamp // owned by watch after load
}

type fileStamp struct {
	modified time.Time
	size     int64
}

func newCertificate(files TLSFiles, log *slog.Logger) (*certificate, error) {
	c := &certificate{files: files, log: log}
	c.stamp = c.stat()
	return c, c.load()
}

func (c *certificate) load() error {
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return fmt.Errorf("TLS certificate %s with key %s: %w", c.files.Cert, c.files.Key, err)
	}
	c.current.Store(&pair)
	return nil
}

func (c *certificate) stat() (s [2]fileStamp) {
	for i, name := range []string{c.files.Cert, c.files.Key} {
		if fi, err := os.Stat(name); err == nil {
			s[i] = fileStamp{fi.ModTime(), fi.Size()}
		}
	}
	return s
}

// watch reloads the files when they change. A pair that does not fit (half
// written, or the key not yet replaced) leaves the old one in place.
func (c *certificate) watch(ctx context.Context) {
	tick := time.NewTicker(certPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.refresh()
		}
	}
}

func (c *certificate) refresh() {
	now := c.stat()
	if now == c.stamp {
		return
	}
	if err := c.load(); err != nil {
		c.log.Warn("certificate not reloaded, the old one stays in use", "err", err)
		return
	}
	c.stamp = now
	c.log.Info("certificate reloaded", "cert", c.files.Cert)
}

func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.current.Load(), nil
		},
	}
}
