//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// splitter stands in for a load balancer without stickiness: each request, not
// each connection, goes to the next of its targets, and X-Forwarded-For tells
// who asked. It passes WebSockets on.
type splitter struct {
	URL string

	targets atomic.Pointer[[]*url.URL]
	next    atomic.Uint64
	server  *httptest.Server

	mu       sync.Mutex
	failures []string // answers of 400 and more, and none; guarded by mu
}

func startSplitter(t testing.TB, addrs ...string) *splitter {
	t.Helper()
	return startSplitterAt(t, here, addrs...)
}

func startSplitterAt(t testing.TB, at *place, addrs ...string) *splitter {
	t.Helper()
	listener, err := at.listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &splitter{}
	s.set(addrs)
	transport := &http.Transport{DialContext: at.dial, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, DisableCompression: true}
	handler := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(s.pick())
			r.Out.Host = r.In.Host
			r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
			r.SetXForwarded()
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			// A client that leaves is no failure of a target.
			if r.Context().Err() == nil {
				s.note(fmt.Sprintf("%s %s: %v", r.Method, r.URL, err))
			}
			w.WriteHeader(http.StatusBadGateway)
		},
		ModifyResponse: func(res *http.Response) error {
			if res.StatusCode >= 400 {
				s.note(fmt.Sprintf("%s %s: %s", res.Request.Method, res.Request.URL, res.Status))
			}
			return nil
		},
	}
	s.server = &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
	s.server.Start()
	s.URL = s.server.URL
	t.Cleanup(func() {
		s.server.CloseClientConnections()
		s.server.Close()
		transport.CloseIdleConnections()
		if t.Failed() && len(s.failures) > 0 {
			t.Logf("what the splitter to %q was answered:\n%s", addrs, strings.Join(s.failures, "\n"))
		}
	})
	return s
}

func (s *splitter) note(failure string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.failures) < linesKept {
		s.failures = append(s.failures, time.Now().Format(time.RFC3339Nano)+" "+failure)
	}
}

func (s *splitter) set(addrs []string) {
	targets := make([]*url.URL, len(addrs))
	for i, addr := range addrs {
		targets[i] = &url.URL{Scheme: "http", Host: addr}
	}
	s.targets.Store(&targets)
}

func (s *splitter) pick() *url.URL {
	targets := *s.targets.Load()
	return targets[int(s.next.Add(1))%len(targets)]
}

// watch takes targets out while their replica is not ready, as the health checks
// of a load balancer do, until the test ends.
func (s *splitter) watch(t testing.TB, replicas []*replica) {
	ctx, cancel := context.WithCancel(context.Background())
	var watcher sync.WaitGroup
	watcher.Go(func() {
		again := time.NewTicker(50 * time.Millisecond)
		defer again.Stop()
		var last []string
		for {
			var ready []string
			for _, r := range replicas {
				if r.ready() == nil {
					ready = append(ready, r.http)
				}
			}
			if len(ready) > 0 && !slices.Equal(ready, last) {
				s.set(ready)
				last = ready
			}
			select {
			case <-ctx.Done():
				return
			case <-again.C:
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		watcher.Wait()
	})
}

func TestSplitterGivesEachRequestToTheNextTarget(t *testing.T) {
	var addrs []string
	var seen []string
	for _, name := range []string{"a", "b", "c"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen = append(seen, name+" "+r.Header.Get("X-Forwarded-For"))
		}))
		defer server.Close()
		addrs = append(addrs, server.Listener.Addr().String())
	}
	s := startSplitter(t, addrs...)
	client := s.server.Client()
	client.Transport.(*http.Transport).MaxConnsPerHost = 1
	for range 6 {
		res, err := client.Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	want := []string{"b 127.0.0.1", "c 127.0.0.1", "a 127.0.0.1", "b 127.0.0.1", "c 127.0.0.1", "a 127.0.0.1"}
	if !slices.Equal(seen, want) {
		t.Errorf("requests of one connection went to %q, want %q", seen, want)
	}
}
