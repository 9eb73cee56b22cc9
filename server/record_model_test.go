package server

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/store"
)

// remoteCache is a cache with a way to it: others act while one waits for an
// answer.
type remoteCache struct{ *store.Memory }

func (c *remoteCache) Get(ctx context.Context, name string) (store.Record, error) {
	r, err := c.Memory.Get(ctx, name)
	time.Sleep(time.Millisecond) // of the test's own clock
	return r, err
}

// TestRecordModel has clients write one record at the same time, with the next
// version, any version and wrong versions, on up to three nodes. Every write is
// answered once, where it lost with the record as it was then, and none is accepted of
// a version that is not the next; what was acknowledged is what is stored; an observer on one of the
// nodes, who is told each next version or else the whole record, ends with the same.
func TestRecordModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		nodes := rapid.IntRange(1, 3).Draw(rt, "nodes")
		remote := rapid.Bool().Draw(rt, "remote cache")
		var plan [][]int64 // versions that each writer sends; -1 for any
		for range rapid.IntRange(1, 4).Draw(rt, "writers") {
			plan = append(plan, rapid.SliceOfN(rapid.Int64Range(-1, 6), 1, 8).Draw(rt, "versions"))
		}
		var problem string
		synctest.Test(t, func(t *testing.T) { problem = writeAll(t, nodes, remote, plan) })
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

func writeAll(t *testing.T, nodes int, remote bool, plan [][]int64) (problem string) {
	d := newDialogue(t, func(c *Config) {
		if remote {
			c.Cache = &remoteCache{c.Cache.(*store.Memory)}
		}
	})
	defer d.stop()
	for len(d.nodes) < nodes {
		d.addNode()
	}
	d.connect(d.nodes[0], "observer", "protobuf")
	d.login("observer", "observer")
	d.send(d.client("observer"), "RECORD SUBSCRIBECREATEANDREAD names=r corr=0")
	for w := range plan {
		name := fmt.Sprintf("w%d", w)
		d.connect(d.nodes[w%nodes], name, "protobuf")
		d.login(name, name)
	}
	time.Sleep(time.Second)
	synctest.Wait()
	d.client("observer").take()

	var writers sync.WaitGroup
	for w, versions := range plan {
		c := d.client(fmt.Sprintf("w%d", w))
		writers.Go(func() {
			for i, v := range versions {
				d.send(c, fmt.Sprintf("RECORD PATCH name=r version=%d path=w%d_%d corr=%d writeAck=true data=%d", v, w, i, i, i))
			}
		})
	}
	writers.Wait()
	time.Sleep(time.Second) // for the slowest cache
	synctest.Wait()

	accepted := make(map[string]bool)
	winners := make(map[int64]string) // of the versions that were asked for
	for w, versions := range plan {
		answers := make(map[string]message.Action)
		for _, m := range d.client(fmt.Sprintf("w%d", w)).take() {
			if _, twice := answers[m.CorrelationID]; twice {
				return fmt.Sprintf("write %d of %d was answered twice", w, len(versions))
			}
			answers[m.CorrelationID] = m.Action
			var now map[string]int // each write adds a path
			if m.Action == message.RecordVersionExists && (json.Unmarshal([]byte(m.Data), &now) != nil || int64(len(now)) != m.Version) {
				return fmt.Sprintf("version %d exists with %s", m.Version, m.Data)
			}
		}
		for i := range versions {
			switch answers[fmt.Sprint(i)] {
			case message.RecordWriteAcknowledgement:
				path := fmt.Sprintf("w%d_%d", w, i)
				accepted[path] = true
				if v := versions[i]; v != -1 {
					if winners[v] != "" || v < 1 {
						return fmt.Sprintf("version %d was accepted of %q and of %q", v, winners[v], path)
					}
					winners[v] = path
				}
			case message.RecordVersionExists, message.RecordInvalidVersion:
			default:
				return fmt.Sprintf("write %d of writer %d was not answered", i, w)
			}
		}
	}
	stored, err := d.cache.Get(context.Background(), "r")
	if err != nil || stored.Version != int64(len(accepted)) {
		return fmt.Sprintf("%d writes accepted, version %d stored, %v", len(accepted), stored.Version, err)
	}
	var data map[string]int
	if err := json.Unmarshal([]byte(stored.Data), &data); err != nil {
		return err.Error()
	}
	for path := range accepted {
		if _, ok := data[path]; !ok {
			return fmt.Sprintf("%q is lost: %s", path, stored.Data)
		}
	}
	if len(data) != len(accepted) {
		return "stored is " + stored.Data
	}
	copied := replica{winners: winners}
	for _, m := range d.client("observer").take() {
		if err := copied.apply(&m); err != nil {
			return err.Error()
		}
	}
	if copied.version != stored.Version || !maps.Equal(copied.data, data) {
		return fmt.Sprintf("the observer has version %d, %v; stored is version %d, %v", copied.version, copied.data, stored.Version, data)
	}
	if nodes == 1 && copied.updates != len(accepted) {
		return fmt.Sprintf("%d writes accepted, %d seen", len(accepted), copied.updates)
	}
	return ""
}

// replica is a record as a client has it that only hears of it.
type replica struct {
	version int64
	data    map[string]int
	updates int
	winners map[int64]string // what has to be written by a version, where that is known
}

// apply takes an update; a patch has to be that of the next version.
func (r *replica) apply(m *message.Message) error {
	r.updates++
	switch {
	case m.Action == message.RecordUpdate && m.Version > r.version:
		r.data = make(map[string]int)
		r.version = m.Version
		return json.Unmarshal([]byte(m.Data), &r.data)
	case m.Action == message.RecordPatch && m.Version == r.version+1:
		if path := r.winners[m.Version]; path != "" && path != m.Path {
			return fmt.Errorf("version %d is that of %q, and %q was told it", m.Version, m.Path, path)
		}
		if r.data == nil {
			r.data = make(map[string]int)
		}
		r.version = m.Version
		var err error
		r.data[m.Path], err = strconv.Atoi(m.Data)
		return err
	}
	return fmt.Errorf("the observer has version %d and is told %+v", r.version, *m)
}

// take returns the messages that a client got since the last time.
func (c *client) take() []message.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	var k keeper
	for rest := c.bytes; len(rest) > 0; {
		var frame []byte
		frame, rest = cutFrame(rest)
		if err := c.codec.Decode(frame, &k); err != nil {
			panic(err)
		}
	}
	c.bytes = nil
	return k.messages
}

type keeper struct{ messages []message.Message }

func (k *keeper) Message(m *message.Message) error {
	kept := *m
	kept.CorrelationID = strings.Clone(m.CorrelationID)
	k.messages = append(k.messages, kept)
	return nil
}

func (k *keeper) Malformed(*message.Message) error { return nil }
