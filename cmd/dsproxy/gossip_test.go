package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dsproxy/dsproxy/backend/gossip"
)

var httpLine = regexp.MustCompile(`msg=listening name=http addr=(\S+)`)

// TestJoinIsEnough runs the program with the address of one member in place of a
// list of backends, and sees it leave.
func TestJoinIsEnough(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		// A question that memberlist has under way ends with its time-out.
		late := time.Now().Add(10 * time.Second)
		for goleak.Find(before) != nil && time.Now().Before(late) {
		}
	})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "from the node") }))
	defer up.Close()
	node, err := gossip.New(gossip.Config{
		Name: "a", Role: gossip.Node, Cluster: "games", Bind: "127.0.0.1:0", Key: "MDEyMzQ1Njc4OWFiY2RlZg==",
		Announcement: gossip.Announcement{Addr: up.Listener.Addr().String()},
	})
	if err != nil {
		t.Fatal(err)
	}
	left := make(chan bool, 1)
	node.Watch(func(m gossip.Member) {
		if m.Role == gossip.Proxy && m.State != gossip.Alive {
			left <- m.State == gossip.Left
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() {
		if err := node.Run(ctx); err != nil {
			t.Error(err)
		}
	})

	r, w := io.Pipe()
	ctx2, stop := context.WithCancel(t.Context())
	defer stop()
	code := make(chan int, 1)
	go func() {
		env := map[string]string{"DSPROXY_GOSSIP_KEY": "MDEyMzQ1Njc4OWFiY2RlZg=="}
		code <- run(ctx2, []string{
			"--join", node.Addr(), "--bind", "127.0.0.1:0", "--cluster", "games",
			"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--drain-delay", "0s",
		}, func(k string) string { return env[k] }, io.Discard, w)
		w.Close()
	}()
	log := bufio.NewScanner(r)
	addr := ""
	for addr == "" && log.Scan() {
		if m := httpLine.FindStringSubmatch(log.Text()); m != nil {
			addr = m[1]
		}
	}
	if addr == "" {
		t.Fatal("it does not listen")
	}
	running.Go(func() {
		for log.Scan() {
		}
	})
	defer http.DefaultClient.CloseIdleConnections()
	answer := func() string {
		resp, err := http.Get("http://" + addr)
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return string(b)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for got := ""; got != "from the node"; got = answer() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("it answers %q", got)
		}
	}
	stop()
	if c := <-code; c != exitOK {
		t.Errorf("exit code %d", c)
	}
	select {
	case said := <-left:
		if !said {
			t.Error("it left without a word")
		}
	case <-time.After(30 * time.Second):
		t.Error("it has not left")
	}
}
