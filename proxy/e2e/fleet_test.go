//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fleet is the whole of it: nodes that find each other by gossip and share a Redis,
// two proxies that find the nodes by gossip too and share the same Redis, and before
// them a splitter that knows nothing of sessions.
type fleet struct {
	redis *redisServer
	nodes []*realtimeNode
	edge  *edge
}

// realtimeNode is one running deepstream.
type realtimeNode struct {
	*process
	at                   *place
	flags                []string
	addr, admin, gossips string
}

// fleetKey encrypts the gossip of the tests.
const fleetKey = "ZHNwcm94eS1lMmUtdGVzdA=="

// start starts the node, on the addresses that it had before if it ran before.
func (n *realtimeNode) start(t testing.TB, join string) {
	t.Helper()
	path, err := nodeProgram()
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := strings.Cut(n.addr, ":")
	args := append([]string{"start", "--host", host, "--port", port, "--admin", n.admin, "--bind", n.gossips,
		"--gossip-key", fleetKey, "--join", join}, n.flags...)
	type said struct{ Msg, Addr string }
	awaited := []string{"node is ready", "administration", "gossip is open"}
	ready := make(chan said, len(awaited))
	n.process = start(t, n.name(), n.at.command(path, args...), func(line string) bool {
		if msg, addr, ok := nodeLine(line); ok && slices.Contains(awaited, msg) { // once each
			ready <- said{msg, addr}
		}
		return false
	})
	var heard []string
	for len(heard) < len(awaited) {
		switch s := waitReady(t, n.process, ready); s.Msg {
		case "node is ready":
			n.addr = s.Addr
			heard = append(heard, s.Msg)
		case "administration":
			n.admin = s.Addr
			heard = append(heard, s.Msg)
		case "gossip is open":
			n.gossips = s.Addr
			heard = append(heard, s.Msg)
		}
	}
}

func (n *realtimeNode) name() string { return n.flags[1] }

// nodeLine reads the message and the address of a line of a node's log.
func nodeLine(line string) (msg, addr string, ok bool) {
	_, rest, ok := strings.Cut(line, `msg="`)
	if !ok {
		_, rest, ok = strings.Cut(line, "msg=")
	}
	msg, rest, _ = strings.Cut(rest, `"`)
	if m, r, found := strings.Cut(msg, " addr="); found { // a message of one word
		msg, rest = m, " addr="+r
	}
	_, addr, found := strings.Cut(rest, "addr=")
	addr, _, _ = strings.Cut(addr, " ")
	return msg, addr, ok && found
}

// nodeProgram gives the path of deepstream, which it builds once.
var nodeProgram = sync.OnceValues(func() (string, error) { return build("deepstream") })

// startFleet starts a Redis, nodes and two proxies, each told of one node to join.
func startFleet(t testing.TB, nodes int) *fleet {
	t.Helper()
	f := &fleet{redis: startRedisIn(t, t.TempDir())} // records are nowhere else
	join := ""
	for i := range nodes {
		n := &realtimeNode{at: here, addr: "127.0.0.1:0", admin: "127.0.0.1:0", gossips: "127.0.0.1:0",
			flags: []string{"--name", "node-" + strconv.Itoa(i+1), "--redis", f.redis.addr}}
		n.start(t, join)
		f.nodes = append(f.nodes, n)
		join = f.nodes[0].gossips
	}
	f.edge = &edge{}
	var targets []string
	for i := range 2 {
		r := startReplica(t, fmt.Sprintf("dsproxy %d", i+1), f.proxyFlags()...)
		f.edge.replicas = append(f.edge.replicas, r)
		targets = append(targets, r.http)
	}
	f.edge.splitter = startSplitter(t, targets...)
	t.Cleanup(func() { f.edge.stop(t) })
	await(t, startLimit, "the proxies have found the nodes", func() error { return f.found(nodes) })
	return f
}

func (f *fleet) proxyFlags() []string {
	return []string{"--join", f.nodes[0].gossips, "--bind", "127.0.0.1:0", "--gossip-key", fleetKey, "--redis", f.redis.addr,
		"--drain-delay", "1s", "--drain-timeout", "4s"}
}

// found tells whether every proxy has so many nodes that are up.
func (f *fleet) found(nodes int) error {
	for _, r := range f.edge.replicas {
		page, err := r.get("/backends")
		if err != nil {
			return err
		}
		if up := strings.Count(strings.ReplaceAll(page, " ", ""), `"state":"up"`); up != nodes {
			return fmt.Errorf("%s has %d backends up: %s", r.name, up, page)
		}
	}
	return nil
}

// crowd is a client process with sessions of all generations of deepstream.
type crowd struct {
	*process
	size    int
	answers chan crowdAnswer
}

// crowdAnswer is what node/clients/fleet.js says, which describes the fields.
type crowdAnswer struct {
	Sessions, Failed int
	Records, Lost    int
	Apart            int
	Users            []int
	Open, Reconnects int
	Acknowledged     int
	Refused          int
	Unanswered       int
	Errors           []string
}

func (a crowdAnswer) String() string {
	return fmt.Sprintf("%d of %d failed, %d lost, %d apart\n\t%s", a.Failed, a.Sessions, a.Lost, a.Apart, strings.Join(a.Errors, "\n\t"))
}

// gather opens sessions at url, which reconnect as clients do by themselves; none may
// fail.
func gather(t testing.TB, url string, size int) *crowd {
	t.Helper()
	return gatherAt(t, here, url, size, "", "")
}

// gatherAt opens them elsewhere; where the policy is quick they reconnect sooner.
func gatherAt(t testing.TB, at *place, url string, size int, prefix, policy string) *crowd {
	t.Helper()
	c := &crowd{size: size, answers: make(chan crowdAnswer, 1)}
	cmd := at.command("node", filepath.Join("node", "clients", "fleet.js"), url, strconv.Itoa(size), prefix, policy)
	c.process = start(t, "sessions", cmd, func(line string) bool {
		var a crowdAnswer
		if json.Unmarshal([]byte(line), &a) != nil {
			return false
		}
		c.answers <- a
		return true
	})
	if a := c.say(t, "open"); a.Failed != 0 || a.Sessions != size {
		t.Fatalf("opening sessions: %v", a)
	}
	return c
}

// say gives a command and returns what comes of it.
func (c *crowd) say(t testing.TB, command string) crowdAnswer {
	t.Helper()
	c.tell(t, command)
	return waitReady(t, c.process, c.answers)
}

func (c *crowd) tell(t testing.TB, command string) {
	t.Helper()
	if _, err := io.WriteString(c.stdin, command+"\n"); err != nil {
		t.Fatalf("telling %s: %v", c.name, err)
	}
}

// sound has every session talk to its partner, none may fail, and everybody who
// holds a record has what is stored, which is what was acknowledged.
func (c *crowd) sound(t testing.TB, when string) {
	t.Helper()
	if a := c.say(t, "round"); a.Failed != 0 || a.Sessions != c.size {
		t.Errorf("%s: %v", when, a)
	}
	var last crowdAnswer
	await(t, recoveryLimit, when+": all hold what is stored", func() error {
		if last = c.say(t, "verify"); last.Failed != 0 || last.Apart != 0 || last.Records == 0 {
			return fmt.Errorf("%v", last)
		}
		return nil
	})
	if last.Lost != 0 {
		t.Errorf("%s: acknowledged writes are lost: %v", when, last)
	}
}

// The tests of fleets run one at a time: each has hundreds of sessions, whose clients
// give up after seconds what the machine cannot do in time for all of them.

// TestTutorial is the set-up that dsproxy was made for: clients of all generations
// on their default transports, through a balancer that knows nothing of sessions.
func TestTutorial(t *testing.T) {
	f := startFleet(t, 2)
	c := gather(t, f.edge.URL, 500)
	c.sound(t, "at first")
	// Everyone sees the others wherever they are; client 1 knows no presence.
	await(t, recoveryLimit, "all see all", func() error {
		if a := c.say(t, "present"); !slices.Equal(a.Users, []int{499, 499}) {
			return fmt.Errorf("between %v users are seen, want 499", a.Users)
		}
		return nil
	})
	if a := c.say(t, "state"); a.Reconnects != 0 || a.Open != 500 {
		t.Errorf("%d of 500 are open after %d reconnects", a.Open, a.Reconnects)
	}
}

// TestFleetFaults breaks the fleet in the middle of a talk, one part after another.
func TestFleetFaults(t *testing.T) {
	f := startFleet(t, 2)
	f.edge.watch(t, f.edge.replicas)
	c := gather(t, f.edge.URL, 500)
	c.sound(t, "at first")

	f.nodes[1].kill()
	c.sound(t, "with a node killed")
	f.nodes[1].start(t, f.nodes[0].gossips)
	await(t, recoveryLimit, "the node is a backend again", func() error { return f.found(2) })
	c.sound(t, "with the node back")

	f.edge.replicas[1].kill()
	c.sound(t, "with a proxy killed")
	f.edge.replicas = f.edge.replicas[:1]

	f.redis.signal(t, syscall.SIGTERM)
	if err := f.redis.waitEnd(stopLimit); err != nil {
		t.Fatal(err)
	}
	c.tell(t, "round")
	f.redis.start(t)
	waitReady(t, c.process, c.answers) // some may have failed: a write that the cache did not answer
	c.sound(t, "with Redis back")
}

// TestRollingRestart restarts every node under load, one after another.
func TestRollingRestart(t *testing.T) {
	f := startFleet(t, 2)
	c := gather(t, f.edge.URL, 60)
	c.sound(t, "at first")
	for _, n := range f.nodes {
		began, rounds := time.Now(), 0
		n.signal(t, syscall.SIGTERM)
		for stopped := false; !stopped; {
			select {
			case <-n.ended:
				stopped = true
			default:
			}
			if a := c.say(t, "round"); a.Failed != 0 {
				t.Errorf("a round while %s stops: %v", n.name(), a)
			}
			rounds++
		}
		if n.err != nil {
			t.Errorf("%s after SIGTERM: %v", n.name(), n.err)
		}
		t.Logf("%s: %d rounds of all sessions in the %v until it had stopped and all had talked again",
			n.name(), rounds, time.Since(began).Round(time.Millisecond))
		n.start(t, f.nodes[0].gossips+","+f.nodes[1].gossips)
		await(t, recoveryLimit, "the node is a backend again", func() error { return f.found(2) })
		c.sound(t, "after the restart of "+n.name())
	}
	a := c.say(t, "state")
	t.Logf("%d sessions reconnected %d times during two restarts", c.size, a.Reconnects)
}
