package main

import (
	"context"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dsproxy/dsproxy/backend/gossip"
	"github.com/dsproxy/dsproxy/server/config"
)

// watcher is a member as dsproxy is one. It says what it hears of a node.
type watcher struct {
	*gossip.Fleet
	heard chan gossip.Member
}

func watch(t *testing.T, name string) *watcher {
	t.Helper()
	f, err := gossip.New(gossip.Config{Name: name, Role: gossip.Proxy, Cluster: "games", Bind: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{f, make(chan gossip.Member, 100)}
	f.Watch(func(m gossip.Member) { w.heard <- m })
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := f.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return w
}

// awaits waits for the node to be as it should be.
func (w *watcher) awaits(t *testing.T, what string, ok func(m gossip.Member) bool) gossip.Member {
	t.Helper()
	late := time.After(30 * time.Second)
	var last gossip.Member
	for {
		select {
		case last = <-w.heard:
			if ok(last) {
				return last
			}
		case <-late:
			t.Fatalf("the node is not %s but %+v", what, last)
		}
	}
}

// TestGossip sees a node from its start to its end as dsproxy does.
func TestGossip(t *testing.T) {
	p := watch(t, "p")
	file := writeFile(t, "config.yml", "serverName: node-1\ncluster: { name: games, zone: a, weight: 7, join: ["+p.Addr()+"] }\n")
	n := startNode(t, "-c", file, "--host", "127.0.0.1", "--port", "0", "--admin", "off", "--bind", "127.0.0.1:0", "--zone", "b")
	up := p.awaits(t, "up", func(m gossip.Member) bool { return m.State == gossip.Alive && m.Announcement.Addr != "" })
	if up.Name != "node-1" || up.Role != gossip.Node || up.Announcement.Addr != n.addr || up.Zone != "b" || up.Weight != 7 || up.Draining {
		t.Errorf("it announces %+v, its address is %s", up, n.addr)
	}
	c, err := net.Dial("tcp", up.Announcement.Addr)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	// Who is slow to listen hears of the end alone, which tells of both.
	if m := p.awaits(t, "draining", func(m gossip.Member) bool { return m.Draining }); m.State != gossip.Left {
		p.awaits(t, "gone", func(m gossip.Member) bool { return m.State == gossip.Left })
	}
	log, code := n.end()
	told, stops := strings.Index(log, "announced that the node drains"), strings.Index(log, "node is stopping")
	if code != 0 || told < 0 || stops < told {
		t.Errorf("it ended with code %d, and told of it (%d) before it stopped (%d):\n%s", code, told, stops, log)
	}
}

// onLine does something when a line of the log is written.
type onLine struct {
	has string
	do  func()
}

func (o onLine) Write(b []byte) (int, error) {
	if strings.Contains(string(b), o.has) {
		o.do()
	}
	return len(b), nil
}

// Who has seen a node may stop it, though it is not done with starting.
func TestStoppedWhileItStarts(t *testing.T) {
	log := onLine{"announced to dsproxy", func() {
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil { // it ends the test where nobody waits for it
			t.Error(err)
		}
	}}
	p := program{args: []string{"--host", "127.0.0.1", "--port", "0", "--admin", "off", "--bind", "127.0.0.1:0"},
		getenv: func(string) string { return "" }, stderr: log}
	if code := p.run(t.Context()); code != 0 {
		t.Errorf("it ended with code %d", code)
	}
}

func TestGossipFlags(t *testing.T) {
	f := func(args, wantErr string) {
		t.Helper()
		_, errs, code := call("", nil, strings.Fields(args)...)
		if code == 0 || !strings.Contains(errs, wantErr) {
			t.Errorf("deepstream %s: exit code %d, %q; want %q", args, code, errs, wantErr)
		}
	}
	f("--join a:b:c", `--join: "a:b:c" is not an address`)
	f("--bind here", `--bind: "here" is not an address to listen on`)
	f("--bind 127.0.0.1:0 --gossip-key secret", "--gossip-key: must be base64")
	f("--bind 127.0.0.1:0 --public here", `address "here" must be host:port`)
	f("--bind 127.0.0.1:0 --cluster "+strings.Repeat("x", 300), "--cluster")
	f("--weight 0", `--weight must be a number from 1 to 1000, not "0"`)
	f("--public 10.0.0.1:1", "gossip is off; turn it on with --join")
}

// verdicts is a bus that is told verdicts.
type verdicts chan string

func (v verdicts) Verdict(node string, alive bool) {
	if alive {
		node += " lives"
	}
	v <- node
}

// The bus is told of the other nodes, and of nodes only.
func TestVerdicts(t *testing.T) {
	p := watch(t, "p")
	settings := func(name string) *config.Settings {
		s := config.Default()
		s.Node.Name = name
		s.Cluster.Name, s.Cluster.Bind, s.Cluster.Join = "games", "127.0.0.1:0", []string{p.Addr()}
		return s
	}
	bus := make(verdicts, 100)
	log := newLogger(config.LogSettings{Level: config.LevelOff}, nil)
	a, err := join(settings("a"), nil, bus, log)
	if err != nil {
		t.Fatal(err)
	}
	defer a.cut()
	b, err := join(settings("b"), nil, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	next := func(want string) {
		t.Helper()
		for {
			select {
			case got := <-bus:
				if got != want && got != "b lives" { // it may tell news of b
					t.Fatalf("the verdict is %q, want %q", got, want)
				}
				if got == want {
					return
				}
			case <-time.After(30 * time.Second):
				t.Fatalf("there is no verdict %q", want)
			}
		}
	}
	next("b lives")
	b.cut()
	next("b")
	b, err = join(settings("b"), nil, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	next("b lives")
	b.leave()
	next("b")
}

// The bus that a file or a flag gives a node is one that takes verdicts.
func TestBusTakesVerdicts(t *testing.T) {
	s := config.Default()
	if err := s.UseRedis("127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	c, err := s.Open(newLogger(config.LogSettings{Level: config.LevelOff}, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Cache.Close()
	defer func() { // its client is closed when it ends
		over, cancel := context.WithCancel(t.Context())
		cancel()
		_ = c.Bus.Run(over, nil)
	}()
	if _, ok := c.Bus.(judge); !ok {
		t.Errorf("%T takes none", c.Bus)
	}
}

func TestPublicAddr(t *testing.T) {
	f := func(member, listen, want string) {
		t.Helper()
		l, err := net.ResolveTCPAddr("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		if got := publicAddr(member, l); got != want {
			t.Errorf("a node at %s, its gossip at %s, is announced at %s, want %s", listen, member, got, want)
		}
	}
	f("10.0.0.5:7946", "0.0.0.0:6020", "10.0.0.5:6020")
	f("10.0.0.5:7946", "[::]:6020", "10.0.0.5:6020")
	f("[fd00::5]:7946", "[::]:6020", "[fd00::5]:6020")
	f("10.0.0.5:7946", "10.1.1.1:6020", "10.1.1.1:6020")
}
