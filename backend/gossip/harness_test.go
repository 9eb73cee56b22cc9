package gossip

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain looks for goroutines left behind. A question that memberlist had under
// way when it was shut down ends with its time-out, which may take seconds.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := await(10*time.Second, func() bool { return goleak.Find() == nil }); err != nil {
			fmt.Fprintln(os.Stderr, goleak.Find())
			code = 1
		}
	}
	os.Exit(code)
}

// await has a condition looked at until it is true.
func await(most time.Duration, ok func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(most)
	defer late.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-late.C:
			return fmt.Errorf("not so after %v", most)
		}
	}
	return nil
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	if err := await(30*time.Second, ok); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// text collects a log.
type text struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *text) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *text) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *text) count(part string) int { return strings.Count(l.String(), part) }

func logTo(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// one is a member under test.
type one struct {
	*Fleet
	t    *testing.T
	log  *text
	stop context.CancelFunc
	done chan error
}

// config is a member on loopback with a free port.
func config(name string, join ...string) Config {
	return Config{Name: name, Role: Node, Cluster: DefaultCluster, Bind: "127.0.0.1:0", Join: join}
}

// run starts a member and stops it when the test ends.
func run(t *testing.T, c Config) *one {
	t.Helper()
	m := &one{t: t, log: new(text), done: make(chan error, 1)}
	if c.Log == nil {
		c.Log = logTo(m.log)
	}
	var err error
	if m.Fleet, err = New(c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	m.stop = cancel
	go func() { m.done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-m.done
		close(m.done)
		if t.Failed() {
			t.Logf("log of %s:\n%s", c.Name, m.log)
		}
	})
	return m
}

// leave stops a member and waits for it.
func (m *one) leave() {
	m.stop()
	m.done <- <-m.done
}

// die has a member vanish without a word.
func (m *one) die() { m.Close() }

// sees tells how a member sees the others: name=state of each, ordered by name.
func (m *one) sees() string {
	var all []string
	for _, o := range m.Members() {
		if o.Name != m.Name() {
			all = append(all, o.Name+"="+o.State.String())
		}
	}
	return strings.Join(all, " ")
}

func (m *one) awaits(want string) {
	m.t.Helper()
	if err := await(30*time.Second, func() bool { return m.sees() == want }); err != nil {
		m.t.Fatalf("%s sees %q, want %q: %v", m.Name(), m.sees(), want, err)
	}
}

func (m *one) member(name string) Member {
	for _, o := range m.Members() {
		if o.Name == name {
			return o
		}
	}
	return Member{}
}
