//go:build e2e && linux

package e2e

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// lan is hosts on one switch, each a network namespace. Nothing of it is in the
// namespace of this machine.
type lan struct {
	prefix string // of the namespaces' names
	bridge string // the namespace of the switch
	hosts  []*host
	wrong  [][2]string // entries of neighbours that are cut off: host's namespace, address
}

// host is one of them. It serves at 10.77.0.N and gossips at 10.77.1.N, so that
// either can be cut off without the other.
type host struct {
	*place
	netns   string
	gossips string // the address of the gossip
}

// traffic is what of a host can be cut off.
type traffic int

const (
	services traffic = iota
	gossip
)

const (
	netnsPrefix = "dsproxy-e2e-"
	netnsFolder = "/run/netns"
	lanNetwork  = "10.77.0.0/24"
)

// newLAN makes a switch without hosts. It skips the test where there can be none.
func newLAN(t *testing.T) *lan {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("hosts in network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("hosts in network namespaces need the command ip: install iproute2")
	}
	removeLeftNamespaces()
	l := &lan{prefix: fmt.Sprintf("%s%d-%s-", netnsPrefix, os.Getpid(), rand.Text()[:4])}
	l.bridge = l.prefix + "switch"
	if out, err := exec.Command("ip", "netns", "add", l.bridge).CombinedOutput(); err != nil {
		t.Skipf("no network namespace can be made here: %v\n%s", err, out)
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "delete", l.bridge).Run() })
	ip(t, "-n", l.bridge, "link", "add", "dev", "lan", "type", "bridge")
	ip(t, "-n", l.bridge, "link", "set", "dev", "lan", "up")
	return l
}

// removeLeftNamespaces removes those of tests that were killed.
func removeLeftNamespaces() {
	left, _ := filepath.Glob(filepath.Join(netnsFolder, netnsPrefix+"*"))
	for _, path := range left {
		name := filepath.Base(path)
		pid, _, _ := strings.Cut(strings.TrimPrefix(name, netnsPrefix), "-")
		if _, err := os.Stat("/proc/" + pid); err != nil {
			exec.Command("ip", "netns", "delete", name).Run()
		}
	}
}

func ip(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// host adds one to the switch; number is the last of its addresses.
func (l *lan) host(t *testing.T, name string, number int) *host {
	t.Helper()
	h := &host{netns: l.prefix + name, gossips: "10.77.1." + strconv.Itoa(number)}
	h.place = &place{ip: "10.77.0." + strconv.Itoa(number), trust: lanNetwork, prefix: []string{"ip", "netns", "exec", h.netns}, enter: h.inside}
	ip(t, "netns", "add", h.netns)
	t.Cleanup(func() { exec.Command("ip", "netns", "delete", h.netns).Run() })
	ip(t, "link", "add", "name", "port"+strconv.Itoa(number), "netns", l.bridge, "type", "veth", "peer", "name", "eth0", "netns", h.netns)
	ip(t, "-n", l.bridge, "link", "set", "dev", "port"+strconv.Itoa(number), "master", "lan", "up")
	for _, addr := range []string{h.ip, h.gossips} {
		ip(t, "-n", h.netns, "address", "add", addr+"/24", "dev", "eth0")
	}
	for _, device := range []string{"lo", "eth0"} {
		ip(t, "-n", h.netns, "link", "set", "dev", device, "up")
	}
	l.hosts = append(l.hosts, h)
	return h
}

// inside runs f in a thread that is in the namespace of the host and ends with it.
func (h *host) inside(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // not unlocked: the thread is of no use to others
		ns, err := os.Open(filepath.Join(netnsFolder, h.netns))
		if err != nil {
			done <- err
			return
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("entering the namespace %s: %w", h.netns, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// cut has a host and others not reach each other: what they send is lost, as from a
// cable that was pulled out of a switch. Which is so because it goes to an Ethernet
// address that nobody has.
func (l *lan) cut(t *testing.T, h *host, what traffic, others ...*host) {
	t.Helper()
	for _, o := range others {
		for _, way := range [][2]*host{{h, o}, {o, h}} {
			addr := way[1].ip
			if what == gossip {
				addr = way[1].gossips
			}
			ip(t, "-n", way[0].netns, "neighbour", "replace", addr, "lladdr", "02:00:00:00:00:00", "nud", "permanent", "dev", "eth0")
			l.wrong = append(l.wrong, [2]string{way[0].netns, addr})
		}
	}
}

// heal takes back all that was cut.
func (l *lan) heal(t *testing.T) {
	t.Helper()
	for _, w := range l.wrong {
		ip(t, "-n", w[0], "neighbour", "delete", w[1], "dev", "eth0")
	}
	l.wrong = nil
}

// but returns all hosts without some.
func (l *lan) but(some ...*host) []*host {
	return slices.DeleteFunc(slices.Clone(l.hosts), func(h *host) bool { return slices.Contains(some, h) })
}
