package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// watchedBuffer closes seen when the demo has said that it runs.
type watchedBuffer struct {
	mu   sync.Mutex
	b    bytes.Buffer
	once sync.Once
	seen chan struct{}
}

func (w *watchedBuffer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.b.Write(p)
	if strings.Contains(w.b.String(), "Ctrl-C stops") {
		w.once.Do(func() { close(w.seen) })
	}
	return n, err
}

func (w *watchedBuffer) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// The demo serves its page, keeps a session and stops cleanly.
func TestDemo(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	out := &watchedBuffer{seen: make(chan struct{})}
	done := make(chan int, 1)
	go func() { done <- demo(ctx, []string{"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, out, out) }()
	select {
	case <-out.seen:
	case code := <-done:
		t.Fatalf("ended with %d: %s", code, out)
	}
	page := regexp.MustCompile(`page +(http://\S+)`).FindStringSubmatch(out.String())[1]
	fetch := func(path string) string {
		resp, err := http.Get(page + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s %v", path, resp.StatusCode, b, err)
		}
		return string(b)
	}
	if !strings.Contains(fetch(""), "<title>dsproxy demo</title>") {
		t.Error("no page")
	}
	for range 6 {
		var open struct{ Sid string }
		if err := json.Unmarshal([]byte(fetch("engine.io/?EIO=4&transport=polling")[1:]), &open); err != nil {
			t.Fatal(err)
		}
		session := page + "engine.io/?EIO=4&transport=polling&sid=" + open.Sid
		resp, err := http.Post(session, "text/plain", strings.NewReader("4hello"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := fetch("engine.io/?EIO=4&transport=polling&sid=" + open.Sid); !strings.HasSuffix(got, ":hello") {
			t.Errorf("polled %q", got)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if code := <-done; code != exitOK || !strings.Contains(out.String(), "stopped") {
		t.Errorf("exit %d: %s", code, out)
	}
}
