package backend

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestDialogues plays the files of testdata against a pool with its own time.
// Lines of input are commands:
//
//	config key=value ...        before start; keys as in Config
//	start                       makes the pool of the sources so far and runs it
//	source name a b=3 c! d?     a source's list: a weight after =, drained by !, doubted by ?
//	fail id reason / pass id    what checks of a backend find from now on
//	wait 2s
//	dial id [n] / handshake id [n] / served id / answered id    reports of traffic
//	drain id / undrain id
//	state                       shows the pool
//	orders                      shows Least(2), and how many have the first rank of some keys
//
// Every change of state that a command causes is shown with its time.
func TestDialogues(t *testing.T) {
	err := filepath.WalkDir("testdata/pool", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		t.Run(strings.TrimSuffix(d.Name(), ".txt"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				defer s.stop()
				datadriven.RunTest(t, path, s.play)
			})
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// stage is a pool with scripted sources and checks.
type stage struct {
	t       *testing.T
	cfg     Config
	pool    *Pool
	begin   time.Time
	cancel  context.CancelFunc
	done    chan error
	names   []string
	sources map[string]*scripted

	mu     sync.Mutex // guards the rest
	broken map[string]error
	checks map[string]int
	out    strings.Builder
}

func newStage(t *testing.T) *stage {
	return &stage{
		t: t, cfg: Defaults(), begin: time.Now(), sources: map[string]*scripted{},
		broken: map[string]error{}, checks: map[string]int{},
	}
}

// scripted is a Source that says what it is told to.
type scripted struct {
	name  string
	lists chan []Backend
}

func (s *scripted) String() string { return s.name }

func (s *scripted) Run(ctx context.Context, set func([]Backend)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case l := <-s.lists:
			set(l)
		}
	}
}

func (s *stage) stop() {
	if s.cancel == nil {
		return
	}
	s.cancel()
	if err := <-s.done; err != nil {
		s.t.Errorf("Run: %v", err)
	}
}

func (s *stage) probe(_ context.Context, b Backend) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checks[b.ID]++
	return s.broken[b.ID]
}

func (s *stage) changed(c Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(&s.out, "%v %s: %v -> %v, %s\n", c.At.Sub(s.begin), c.Backend.ID, c.From, c.To, c.Reason)
}

func (s *stage) play(t *testing.T, d *datadriven.TestData) string {
	s.mu.Lock()
	s.out.Reset()
	s.mu.Unlock()
	for line := range strings.Lines(d.Cmd + " " + argsOf(d) + "\n" + d.Input) {
		if f := strings.Fields(line); len(f) > 0 {
			if err := s.command(f[0], f[1:]); err != nil {
				d.Fatalf(t, "%s: %v", strings.TrimSpace(line), err)
			}
			synctest.Wait()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out.Len() == 0 {
		return "ok\n"
	}
	return s.out.String()
}

func argsOf(d *datadriven.TestData) string {
	var all []string
	for _, a := range d.CmdArgs {
		all = append(all, a.String())
	}
	return strings.Join(all, " ")
}

func (s *stage) command(name string, args []string) error {
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	switch name {
	case "config":
		return s.configure(args)
	case "start":
		return s.start()
	case "source":
		return s.source(arg(0), args[1:])
	case "fail":
		s.mu.Lock()
		s.broken[arg(0)] = errors.New(strings.Join(args[1:], " "))
		s.mu.Unlock()
	case "pass":
		s.mu.Lock()
		delete(s.broken, arg(0))
		s.mu.Unlock()
	case "wait":
		d, err := time.ParseDuration(arg(0))
		<-time.After(d) // of the bubble's time
		return err
	case "dial", "handshake", "served", "answered":
		times, _ := strconv.Atoi(arg(1))
		for range max(times, 1) {
			s.pool.Report(arg(0), map[string]Outcome{
				"dial": DialFailed, "handshake": HandshakeFailed, "served": HandshakeServed, "answered": Answered,
			}[name])
		}
	case "drain", "undrain":
		err := map[string]func(string) error{"drain": s.pool.Drain, "undrain": s.pool.Undrain}[name](arg(0))
		if err != nil {
			s.say("error: %v\n", err)
		}
	case "state":
		s.state()
	case "orders":
		s.orders()
	case "checks":
		s.mu.Lock()
		for _, id := range slices.Sorted(maps.Keys(s.checks)) {
			fmt.Fprintf(&s.out, "%s %d\n", id, s.checks[id])
		}
		clear(s.checks)
		s.mu.Unlock()
	default:
		return errors.New("unknown command")
	}
	return nil
}

func (s *stage) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(&s.out, format, args...)
}

func (s *stage) configure(args []string) error {
	for _, a := range args {
		key, value, _ := strings.Cut(a, "=")
		d, _ := time.ParseDuration(value)
		n, _ := strconv.Atoi(value)
		switch key {
		case "interval":
			s.cfg.Interval = d
		case "slow_start":
			s.cfg.SlowStart = d
		case "eject_after":
			s.cfg.EjectAfter = n
		case "eject_percent":
			s.cfg.EjectPercent = n
		case "parallel":
			s.cfg.Parallel = n
		default:
			return fmt.Errorf("unknown key %s", key)
		}
	}
	if s.pool != nil {
		return s.pool.Reload(s.cfg, s.inOrder()...)
	}
	return nil
}

func (s *stage) inOrder() []Source {
	var all []Source
	for _, n := range s.names {
		all = append(all, s.sources[n])
	}
	return all
}

func (s *stage) start() (err error) {
	s.pool, err = NewPool(s.cfg, Deps{
		Probe: s.probe, OnChange: s.changed, Random: func() uint64 { return 1 << 63 },
	}, s.inOrder()...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	s.cancel, s.done = cancel, make(chan error, 1)
	go func() { s.done <- s.pool.Run(ctx) }()
	return nil
}

func (s *stage) source(name string, backends []string) error {
	src, ok := s.sources[name]
	if !ok {
		src = &scripted{name, make(chan []Backend, 1)}
		s.sources[name] = src
		s.names = append(s.names, name)
		if s.pool != nil {
			if err := s.pool.Reload(s.cfg, s.inOrder()...); err != nil {
				return err
			}
		}
	}
	var list []Backend
	for _, b := range backends {
		b, drained := strings.CutSuffix(b, "!")
		b, doubted := strings.CutSuffix(b, "?")
		id, weight, _ := strings.Cut(b, "=")
		w, _ := strconv.Atoi(weight)
		id, addr, moved := strings.Cut(id, "@")
		if !moved {
			addr = id
		}
		backend := Backend{ID: id, Addr: addr + ":1", Weight: w, Draining: drained}
		if doubted {
			backend.Doubt = "not heard of"
		}
		list = append(list, backend)
	}
	src.lists <- list
	return nil
}

func (s *stage) state() {
	for _, b := range s.pool.Snapshot() {
		s.say("%s", b.ID)
		if b.Weight != 1 {
			s.say("=%d", b.Weight)
		}
		s.say(" %v since %v: %s", b.State, b.Since.Sub(s.begin), b.Reason)
		for _, x := range []struct {
			what string
			is   bool
		}{
			{"starting", b.Starting}, {"suspect", b.Suspect},
			{fmt.Sprintf("slow start at %d%%", b.SlowStart), b.SlowStart > 0},
			{fmt.Sprintf("%s failed", count(b.FailedChecks, "check")), b.FailedChecks > 0},
			{fmt.Sprintf("%s failed", count(b.FailedDials, "dial")), b.FailedDials > 0},
			{fmt.Sprintf("%s failed", count(b.FailedHandshakes, "handshake")), b.FailedHandshakes > 0},
			{fmt.Sprintf("until %v", b.EjectedUntil.Sub(s.begin)), !b.EjectedUntil.IsZero()},
		} {
			if x.is {
				s.say("; %s", x.what)
			}
		}
		s.say("\n")
	}
}

func (s *stage) orders() {
	set := s.pool.Set()
	first := map[string]int{}
	for k := range 100 {
		for m := range set.Ranked([]byte{byte(k)}) {
			first[m.ID]++
			break
		}
	}
	s.say("least: %s\n", strings.Join(ids(set.Least(2)), " "))
	s.say("ranked:")
	for _, id := range slices.Sorted(maps.Keys(first)) {
		s.say(" %s", id)
	}
	s.say("\n")
}
