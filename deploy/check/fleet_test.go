package check

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// fleet is a Redis, two nodes on it, a node on its own and a proxy, as processes.
type fleet struct {
	redis, left, right  *process
	proxyAddr, nodeAddr string
	admins              []string // of all that have metrics
	seen                series
}

// process is one of them, with what it says on its standard error.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}

	mu   sync.Mutex
	said bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.Write(b)
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
}

// launch starts a program for as long as the test.
func launch(t *testing.T, path string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Env = []string{}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // it is killed in the end
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%v:\n%s", args, p.said.String())
		}
	})
	return p
}

// freeAddr finds a port of loopback that nobody has, by TCP and UDP.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		u, err := net.ListenPacket("udp", l.Addr().String())
		_ = l.Close()
		if err == nil {
			_ = u.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free by TCP and UDP")
	return ""
}

// until waits for what another process does.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func startFleet(t *testing.T) *fleet {
	t.Helper()
	server, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("this test needs redis-server: install it with apt install redis-server or brew install redis")
	}
	f := &fleet{proxyAddr: freeAddr(t), seen: series{}}
	redis := freeAddr(t)
	_, port, _ := net.SplitHostPort(redis)
	f.redis = launch(t, server, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	var join string
	node := func(name string, more ...string) (*process, string) {
		addr, admin := freeAddr(t), freeAddr(t)
		host, port, _ := net.SplitHostPort(addr)
		f.admins = append(f.admins, admin)
		return launch(t, program(t, "deepstream"), append([]string{"start", "--name", name, "--host", host, "--port", port, "--admin", admin}, more...)...), addr
	}
	member := func(name string) (*process, string) {
		gossip := freeAddr(t)
		args := []string{"--redis", redis, "--bind", gossip, "--advertise", gossip}
		if join != "" {
			args = append(args, "--join", join)
		}
		join = gossip
		return node(name, args...)
	}
	f.left, f.nodeAddr = member("left")
	f.right, _ = member("right")
	node("alone")
	admin, gossip := freeAddr(t), freeAddr(t)
	f.admins = append(f.admins, admin)
	launch(t, program(t, "dsproxy"), "run", "--listen", f.proxyAddr, "--admin", admin, "--redis", redis,
		"--join", join, "--bind", gossip, "--advertise", gossip)
	for _, a := range f.admins {
		until(t, a+" to be ready", func() bool {
			resp, err := http.Get("http://" + a + "/readyz")
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			return resp.StatusCode == http.StatusOK
		})
	}
	return f
}

// metrics has the fleet live through a day: sessions, an upgrade, records, a bad
// request, a node that dies and a Redis that does. All metrics that it ever showed
// are returned.
func (f *fleet) metrics(t *testing.T) series {
	t.Helper()
	until(t, "both nodes to be found", func() bool {
		f.scrape(t)
		return f.seen["dsproxy_backend_state"]["backend"]["left"] && f.seen["dsproxy_backend_state"]["backend"]["right"]
	})
	f.upgrade(t)
	client := f.client(t)
	say(t, client, "R|CR|a", "R|R|a")
	f.tooLong(t)
	until(t, "tunnels and limits to be counted", func() bool {
		f.scrape(t)
		return f.has("dsproxy_tunnels_closed_total", "dsproxy_limit_hits_total", "dsproxy_errors_total", "deepstream_store_seconds_bucket")
	})

	f.right.kill()
	until(t, "a second try of a request", func() bool {
		f.handshake(t)
		f.scrape(t)
		return f.has("dsproxy_retries_total")
	})
	f.redis.kill()
	until(t, "failures of Redis", func() bool {
		say(t, client, fmt.Sprintf("R|SN|%d", time.Now().UnixNano()))
		f.handshake(t)
		f.scrape(t)
		return f.has("dsproxy_table_errors_total", "deepstream_store_errors_total")
	})
	return f.seen
}

func (f *fleet) has(names ...string) bool {
	for _, n := range names {
		if f.seen[n] == nil {
			return false
		}
	}
	return true
}

// scrape adds the metrics of all that live.
func (f *fleet) scrape(t *testing.T) {
	t.Helper()
	for _, admin := range f.admins {
		resp, err := http.Get("http://" + admin + "/metrics")
		if err != nil { // it was killed
			continue
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			samples, err := expfmt.ExtractSamples(&expfmt.DecodeOptions{}, family)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range samples {
				set := map[string]string{}
				for label, value := range s.Metric {
					if label != model.MetricNameLabel {
						set[string(label)] = string(value)
					}
				}
				f.seen.add(string(s.Metric[model.MetricNameLabel]), set)
			}
		}
	}
	f.seen.add("up", nil) // Prometheus' own
}

const enginePath = "/deepstream/?EIO=3&transport="

// handshake opens a session by long-polling and returns its id; "" if nobody took it.
func (f *fleet) handshake(t *testing.T) string {
	t.Helper()
	resp, err := http.Get("http://" + f.proxyAddr + enginePath + "polling")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(body), `"sid":"`)
	sid, _, _ := strings.Cut(rest, `"`)
	return sid
}

// upgrade makes a session into a WebSocket and ends it.
func (f *fleet) upgrade(t *testing.T) {
	t.Helper()
	sid := f.handshake(t)
	if sid == "" {
		t.Fatal("nobody took the handshake")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ws, _, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+f.proxyAddr+enginePath+"websocket&sid="+sid, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := ws.WriteMessage(websocket.TextMessage, []byte("2probe")); err != nil {
		t.Fatal(err)
	}
	if _, m, err := ws.ReadMessage(); err != nil || string(m) != "3probe" {
		t.Fatalf("the probe is answered %q (%v)", m, err)
	}
	_ = ws.Close()
}

// client logs in at the node whose Redis is killed later, and reads what it is told.
func (f *fleet) client(t *testing.T) *websocket.Conn {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+f.nodeAddr+"/deepstream-v3", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.Close() })
	say(t, ws, "C|CHR|ws://"+f.nodeAddr+"/deepstream-v3", "A|REQ|{}")
	for text := ""; !strings.Contains(text, "A|A"); {
		_, m, err := ws.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		text += strings.ReplaceAll(string(m), "\x1f", "|")
	}
	go func() {
		for {
			if _, _, err := ws.ReadMessage(); err != nil {
				return
			}
		}
	}()
	return ws
}

func say(t *testing.T, ws *websocket.Conn, messages ...string) {
	t.Helper()
	for _, m := range messages {
		m = strings.ReplaceAll(m, "|", "\x1f") + "\x1e"
		if err := ws.WriteMessage(websocket.TextMessage, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
}

// tooLong sends a head that is larger than it may be.
func (f *fleet) tooLong(t *testing.T) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+f.proxyAddr+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Long", strings.Repeat("x", 64<<10))
	if resp, err := http.DefaultClient.Do(req); err == nil { // the answer may be lost on a connection that is closed
		_ = resp.Body.Close()
	}
}
