package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"
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

// runningDemo is a demo under test.
type runningDemo struct {
	url    string // with no slash at its end
	out    *watchedBuffer
	cancel context.CancelFunc
	done   chan int
}

func startDemo(t *testing.T, args ...string) *runningDemo {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d := &runningDemo{out: &watchedBuffer{seen: make(chan struct{})}, cancel: cancel, done: make(chan int, 1)}
	go func() {
		d.done <- runDemo(ctx, append([]string{"--listen", "127.0.0.1:0"}, args...), d.out, d.out)
		close(d.done)
	}()
	t.Cleanup(func() {
		cancel()
		<-d.done
		http.DefaultClient.CloseIdleConnections()
	})
	select {
	case <-d.out.seen:
	case code := <-d.done:
		t.Fatalf("ended with %d: %s", code, d.out)
	}
	d.url = regexp.MustCompile(`page +(http://\S+)/`).FindStringSubmatch(d.out.String())[1]
	return d
}

func ask(method, url, body string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %d %s", method, url, resp.StatusCode, b)
	}
	return string(b), err
}

// act presses a button of the page.
func (d *runningDemo) act(t *testing.T, what string) {
	t.Helper()
	if _, err := ask(http.MethodPost, d.url+"/demo/"+what, ""); err != nil {
		t.Fatal(err)
	}
}

// awaitState returns when the fleet is as it should be.
func (d *runningDemo) awaitState(t *testing.T, what string, ok func(s demoState) bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(30 * time.Second); ; {
		text, err := ask(http.MethodGet, d.url+"/demo/state", "")
		if err != nil {
			t.Fatal(err)
		}
		var s demoState
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
		if ok(s) {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not %s: %s", what, text)
		}
	}
}

type demoState struct {
	Redis   struct{ State string }
	Proxies []struct {
		State   string
		Tunnels int
	}
	Nodes []struct {
		State       string
		Connections int
		Seen        map[string]string
	}
}

// whole reports whether everything runs and the proxies know it.
func (s demoState) whole() bool {
	for _, p := range s.Proxies {
		if p.State != "up" {
			return false
		}
	}
	for _, n := range s.Nodes {
		if n.State != "up" || n.Seen["proxy-1"] != "up" || n.Seen["proxy-2"] != "up" {
			return false
		}
	}
	return true
}

// openSession opens a session at base as a client of deepstream 1 does: a handshake
// and a login by polling, with the upgrade to a WebSocket in the middle.
func openSession(base string) (*websocket.Conn, error) {
	address := base + "/deepstream/?EIO=3&b64=1&transport="
	text, err := ask(http.MethodGet, address+"polling", "")
	if err != nil {
		return nil, err
	}
	var open struct{ SID string }
	if _, packet, _ := strings.Cut(text, ":0"); json.Unmarshal([]byte(packet), &open) != nil {
		return nil, fmt.Errorf("handshake %q", text)
	}
	poll := address + "polling&sid=" + open.SID
	if text, err = ask(http.MethodGet, poll, ""); err != nil || !strings.Contains(text, "4C\x1fCH\x1e") {
		return nil, fmt.Errorf("first poll %q %w", text, err)
	}
	if _, err = ask(http.MethodPost, poll, "11:4C\x1fCHR\x1fx:1\x1e"); err != nil {
		return nil, err
	}
	ws, _, err := websocket.DefaultDialer.Dial(strings.Replace(address, "http", "ws", 1)+"websocket&sid="+open.SID, nil)
	if err != nil {
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	if err := finishUpgrade(ws, poll); err != nil {
		ws.Close()
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	return ws, nil
}

// finishUpgrade probes, waits for the poll to be released and logs in.
func finishUpgrade(ws *websocket.Conn, poll string) error {
	say := func(packet string) error { return ws.WriteMessage(websocket.TextMessage, []byte(packet)) }
	hear := func(want string) error {
		ws.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, got, err := ws.ReadMessage(); err != nil || string(got) != want {
			return fmt.Errorf("heard %q, want %q: %w", got, want, err)
		}
		return nil
	}
	if err := say("2probe"); err != nil {
		return err
	}
	if err := hear("3probe"); err != nil {
		return err
	}
	if text, err := ask(http.MethodGet, poll, ""); err != nil || !strings.Contains(text, "C\x1fA\x1e") {
		return fmt.Errorf("poll during the upgrade: %q %w", text, err)
	}
	if err := say("5"); err != nil {
		return err
	}
	if err := say("4A\x1fREQ\x1f{\"username\":\"x\"}\x1e"); err != nil {
		return err
	}
	return hear("4A\x1fA\x1e")
}

// openSessions opens many; the connections end with the test.
func openSessions(t *testing.T, base string, n int) (failed int) {
	t.Helper()
	var g errgroup.Group
	g.SetLimit(8)
	var mu sync.Mutex
	for range n {
		g.Go(func() error {
			ws, err := openSession(base)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				if failed++; failed <= 3 {
					t.Logf("session at %s: %v", base, err)
				}
				return nil
			}
			t.Cleanup(func() { ws.Close() })
			return nil
		})
	}
	_ = g.Wait() // failures are counted
	return failed
}

// TestDemo starts the fleet, has sessions of default transports be whole through
// dsproxy, whatever node is killed, and not without it, and stops it.
func TestDemo(t *testing.T) {
	d := startDemo(t)
	for path, want := range map[string]string{"/": "<title>dsproxy demo</title>", "/page.js": "", "/client.js": "", "/style.css": ""} {
		if text, err := ask(http.MethodGet, d.url+path, ""); err != nil || !strings.Contains(text, want) {
			t.Errorf("%s: %.100q %v", path, text, err)
		}
	}
	for _, path := range []string{"/deepstream", "/deepstream-v3", "/deepstream-json"} {
		ws, _, err := websocket.DefaultDialer.Dial(strings.Replace(d.url, "http", "ws", 1)+path, nil)
		if err != nil {
			t.Errorf("clients of %s cannot connect: %v", path, err)
			continue
		}
		ws.Close()
	}
	if failed := openSessions(t, d.url, 100); failed > 0 {
		t.Errorf("%d of 100 sessions failed", failed)
	}
	d.awaitState(t, "100 connections on two nodes by two proxies", func(s demoState) bool {
		a, b := s.Nodes[0].Connections, s.Nodes[1].Connections
		p, q := s.Proxies[0].Tunnels, s.Proxies[1].Tunnels
		return a > 0 && b > 0 && a+b == 100 && p > 0 && q > 0 && p+q == 100
	})
	if failed := openSessions(t, d.url+"/plain", 20); failed == 0 {
		t.Error("sessions are whole through a plain round robin too")
	}
	for what, want := range map[string]string{"node-3/kill": "404", "node-1/undo": "404", "proxy-1/start": "409", "redis/start": "409"} {
		if _, err := ask(http.MethodPost, d.url+"/demo/"+what, ""); err == nil || !strings.Contains(err.Error(), ": "+want+" ") {
			t.Errorf("%s: %v, want %s", what, err, want)
		}
	}
	d.act(t, "node-1/drain")
	d.awaitState(t, "draining", func(s demoState) bool { return s.Nodes[0].State == "draining" })
	d.act(t, "node-1/kill")
	d.act(t, "node-1/start")
	d.act(t, "proxy-1/kill")
	d.act(t, "proxy-1/start")
	d.awaitState(t, "draining after a new start of it and of a proxy", func(s demoState) bool {
		return s.Nodes[0].State == "draining" && s.Nodes[0].Seen["proxy-1"] == "draining" && s.Nodes[0].Seen["proxy-2"] == "draining"
	})
	d.act(t, "node-1/undrain")
	d.awaitState(t, "whole before a kill", demoState.whole)
	d.act(t, "node-2/kill")
	if failed := openSessions(t, d.url, 30); failed > 0 {
		t.Errorf("%d of 30 sessions failed with a node killed", failed)
	}
	d.act(t, "node-2/start")
	d.awaitState(t, "whole", demoState.whole)
	d.act(t, "proxy-1/kill")
	d.awaitState(t, "without proxy-1", func(s demoState) bool { return s.Proxies[0].State == "down" })
	if failed := openSessions(t, d.url, 30); failed > 0 {
		t.Errorf("%d of 30 sessions failed with a proxy killed", failed)
	}
	d.act(t, "proxy-1/start")
	d.awaitState(t, "whole again", demoState.whole)

	d.cancel()
	if code := <-d.done; code != exitOK || !strings.Contains(d.out.String(), "stopped") {
		t.Errorf("exit %d: %s", code, d.out)
	}
	for _, m := range regexp.MustCompile(`(?m)^  (\S+) +(?:http://)?(127\.0\.0\.1:\d+)`).FindAllStringSubmatch(d.out.String(), -1) {
		if c, err := net.Dial("tcp", m[2]); err == nil {
			c.Close()
			t.Errorf("%s still serves at %s", m[1], m[2])
		}
	}
}

// TestDemoGivenRedis has a Redis that is not the demo's own: it is watched and not
// touched, and its password is not shown to whoever lists the processes.
func TestDemoGivenRedis(t *testing.T) {
	given := miniredis.RunT(t)
	given.RequireAuth("p4ssw0rd")
	d := startDemo(t, "--redis", "redis://:p4ssw0rd@"+given.Addr())
	if strings.Contains(d.out.String(), "p4ssw0rd") {
		t.Errorf("the password is printed: %s", d.out)
	}
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline") // there are none but on Linux
	for _, file := range commands {
		if command, err := os.ReadFile(file); err == nil && bytes.Contains(command, []byte("p4ssw0rd")) {
			t.Errorf("a process shows the password: %q", command)
		}
	}
	if failed := openSessions(t, d.url, 10); failed > 0 {
		t.Errorf("%d of 10 sessions failed", failed)
	}
	if _, err := ask(http.MethodPost, d.url+"/demo/redis/stop", ""); err == nil || !strings.Contains(err.Error(), ": 409 ") {
		t.Errorf("stop of a Redis that was given: %v", err)
	}
	given.Close()
	d.awaitState(t, "without Redis", func(s demoState) bool { return s.Redis.State == "down" })
	if err := given.Restart(); err != nil {
		t.Fatal(err)
	}
	d.awaitState(t, "with Redis", func(s demoState) bool { return s.Redis.State == "up" })
}

func TestDemoArguments(t *testing.T) {
	for want, args := range map[string][]string{
		`unexpected argument "now"`:        {"demo", "now"},
		"flag provided but not defined":    {"demo", "--nope"},
		"--listen chooses another address": {"demo", "--listen", "127.0.0.1:99999"},
		"--redis: ":                        {"demo-node", "--redis", "redis://%zz"},
		"--redis, 127.0.0.1:1, does not":   {"demo", "--listen", "127.0.0.1:0", "--redis", "redis://:secret@127.0.0.1:1"},
	} {
		if code, _, stderr := program(nil, args...); code == exitOK || !strings.Contains(stderr, want) {
			t.Errorf("%q: %d %s, want %q", args, code, stderr, want)
		}
	}
}
