package check

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
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
	redis, right        *process
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

// addr waits for a line of the log and returns the address that stands in it.
func (p *process) addr(t *testing.T, line string) (addr string) {
	t.Helper()
	want := regexp.MustCompile(regexp.QuoteMeta(line) + `.* addr=(\S+)`)
	until(t, fmt.Sprintf("%v to say %s", p.cmd.Args, line), func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		m := want.FindSubmatch(p.said.Bytes())
		if m != nil {
			addr = string(m[1])
		}
		return m != nil
	})
	return addr
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

// startRedis starts a redis-server at a port that is free. It cannot be told to find
// one, and between finding it and taking it somebody else may take it.
func startRedis(t *testing.T) (p *process, addr string) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("this test needs redis-server: install it with apt install redis-server or brew install redis")
	}
	for range 5 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr = l.Addr().String()
		_ = l.Close()
		_, port, _ := net.SplitHostPort(addr)
		p = launch(t, path, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", t.TempDir())
		up := false
		until(t, "redis-server to start or to end", func() bool {
			p.mu.Lock()
			up = strings.Contains(p.said.String(), "eady to accept connections")
			p.mu.Unlock()
			select {
			case <-p.done:
				return true
			default:
				return up
			}
		})
		if up {
			return p, addr
		}
	}
	t.Fatal("redis-server does not start")
	return nil, ""
}

func startFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{seen: series{}}
	var redis, join string
	f.redis, redis = startRedis(t)
	gossip := []string{"--redis", redis, "--bind", "127.0.0.1:0", "--advertise", "127.0.0.1"}
	node := func(name string, more ...string) *process {
		args := append([]string{"start", "--name", name, "--host", "127.0.0.1", "--port", "0", "--admin", "127.0.0.1:0"}, more...)
		p := launch(t, program(t, "deepstream"), args...)
		f.admins = append(f.admins, p.addr(t, "administration"))
		return p
	}
	left := node("left", gossip...)
	f.nodeAddr, join = left.addr(t, "node is ready"), left.addr(t, "gossip is open")
	f.right = node("right", append(gossip, "--join", join)...)
	node("alone")
	proxy := launch(t, program(t, "dsproxy"), append([]string{"run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--join", join}, gossip...)...)
	f.proxyAddr = proxy.addr(t, "name=http")
	f.admins = append(f.admins, proxy.addr(t, "name=admin"))
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
