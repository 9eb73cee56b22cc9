package server

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/store"
)

// deed is something that a client does to a record.
type deed struct {
	who  string
	what string        // a line for dialogue.send, or "leave"
	then time.Duration // nothing happens for so long
}

func (d deed) String() string { return fmt.Sprintf("%s> %s, %s", d.who, d.what, d.then) }

// TestRecordTraffic has writers write, create and delete records and say that they have
// changed outside, with right and wrong versions, while observers come and go.
// Whatever falls together, the node does not stand still: everything is answered once,
// an observer hears of nothing that it has left, and of each next version or else the
// whole record, and at the end it has what is stored.
func TestRecordTraffic(t *testing.T) {
	pauses := rapid.SampledFrom([]time.Duration{0, 0, 0, time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond})
	rapid.Check(t, func(rt *rapid.T) {
		nodes := rapid.IntRange(1, 2).Draw(rt, "nodes")
		remote := rapid.Bool().Draw(rt, "remote cache")
		var plan []deed
		for i := range rapid.IntRange(1, 20).Draw(rt, "deeds") {
			name := rapid.SampledFrom([]string{"r", "s"}).Draw(rt, "name")
			d := deed{then: pauses.Draw(rt, "pause")}
			if rapid.Bool().Draw(rt, "write") {
				d.who = rapid.SampledFrom([]string{"w", "x"}).Draw(rt, "writer")
				d.what = writing(rt, name, i)
			} else {
				d.who = rapid.SampledFrom([]string{"o", "p"}).Draw(rt, "observer")
				d.what = observing(rt, name, i)
			}
			plan = append(plan, d)
		}
		var problem string
		synctest.Test(t, func(t *testing.T) { problem = traffic(t, nodes, remote, plan) })
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

func writing(rt *rapid.T, name string, i int) string {
	version := rapid.SampledFrom([]int{-1, -1, -1, 1, 2, 9}).Draw(rt, "version")
	switch rapid.SampledFrom([]string{"PATCH", "PATCH", "CREATEANDPATCH", "CREATEANDPATCH", "UPDATE", "DELETE", "NOTIFY", "CREATE"}).Draw(rt, "action") {
	case "PATCH":
		return fmt.Sprintf("RECORD PATCH name=%s version=%d path=p%d corr=%d writeAck=true data=%d", name, version, i, i, i)
	case "CREATEANDPATCH":
		return fmt.Sprintf("RECORD CREATEANDPATCH name=%s version=%d path=p%d corr=%d writeAck=true data=%d", name, version, i, i, i)
	case "UPDATE":
		return fmt.Sprintf(`RECORD UPDATE name=%s version=%d corr=%d writeAck=true data={"u%d":%d}`, name, version, i, i, i)
	case "DELETE":
		return "RECORD DELETE name=" + name
	case "NOTIFY":
		return fmt.Sprintf("RECORD NOTIFY names=%s corr=%d", name, i)
	}
	return fmt.Sprintf("RECORD SUBSCRIBECREATEANDREAD names=%s corr=%d", name, i)
}

func observing(rt *rapid.T, name string, i int) string {
	action := rapid.SampledFrom([]string{"SUBSCRIBECREATEANDREAD", "SUBSCRIBEANDREAD", "SUBSCRIBEANDREAD", "UNSUBSCRIBE", "HEAD", "leave"}).Draw(rt, "action")
	switch action {
	case "leave":
		return action
	case "HEAD":
		return "RECORD HEAD name=" + name
	}
	return fmt.Sprintf("RECORD %s names=%s corr=%d", action, name, i)
}

func traffic(t *testing.T, nodes int, remote bool, plan []deed) (problem string) {
	d := newDialogue(t, func(c *Config) {
		if remote {
			c.Cache = &remoteCache{c.Cache.(*store.Memory)}
		}
	})
	defer d.stop()
	for len(d.nodes) < nodes {
		d.addNode()
	}
	at := map[string]*Server{"w": d.nodes[0], "x": d.nodes[nodes-1], "o": d.nodes[0], "p": d.nodes[nodes-1]}
	come := func(name string) {
		d.connect(at[name], name, "protobuf")
		d.send(d.client(name), "CONNECTION CHALLENGE")
		d.send(d.client(name), `AUTH REQUEST data={"username":"`+name+`"}`)
	}
	observers := map[string]*watcher{"o": newWatcher(nodes), "p": newWatcher(nodes)}
	for _, name := range []string{"w", "x", "o", "p"} {
		come(name)
	}
	var writes []deed
	for _, step := range plan {
		if step.what == "leave" {
			d.client(step.who).session.End()
			for i, c := range d.clients {
				if c.name == step.who {
					d.clients = append(d.clients[:i:i], d.clients[i+1:]...)
					break
				}
			}
			come(step.who)
			observers[step.who] = newWatcher(nodes)
		} else {
			d.send(d.client(step.who), step.what)
		}
		if o := observers[step.who]; o != nil {
			o.says(step.what)
		} else {
			writes = append(writes, step)
		}
		time.Sleep(step.then)
	}
	time.Sleep(time.Minute)
	synctest.Wait()
	for _, who := range []string{"w", "x"} {
		if problem := answered(d.client(who).take(), who, writes); problem != "" {
			return problem
		}
	}
	for who, o := range observers {
		for _, m := range d.client(who).take() {
			if err := o.hear(&m); err != nil {
				return fmt.Sprintf("%s: %v", who, err)
			}
		}
		for name, copied := range o.records {
			stored, err := d.cache.Get(context.Background(), name)
			if err != nil || stored.Version != copied.version {
				return fmt.Sprintf("%s has version %d of %s, stored is %d, %v", who, copied.version, name, stored.Version, err)
			}
			data := make(map[string]int)
			if stored.Exists() && json.Unmarshal([]byte(stored.Data), &data) != nil || !maps.Equal(data, copied.data) {
				return fmt.Sprintf("%s has %v of %s, stored is %s", who, copied.data, name, stored.Data)
			}
		}
	}
	return ""
}

// answered reports a write that has not one answer.
func answered(heard []message.Message, who string, writes []deed) string {
	answers := make(map[string]int)
	deleted := make(map[string]int)
	for _, m := range heard {
		if m.Topic != message.Record {
			continue
		}
		switch m.Action {
		case message.RecordDeleteSuccess:
			deleted[m.Name]++
		case message.RecordWriteAcknowledgement, message.RecordVersionExists, message.RecordInvalidVersion, message.RecordUpdateError:
			answers[m.CorrelationID]++
		case message.RecordNotify, message.RecordSubscribeCreateAndRead:
			if m.IsAck {
				answers[m.CorrelationID]++
			}
		}
	}
	for _, w := range writes {
		if w.who != who {
			continue
		}
		var name string
		if n, _ := fmt.Sscanf(w.what, "RECORD DELETE name=%s", &name); n == 1 {
			deleted[name]--
			continue
		}
		var corr string
		for _, field := range strings.Fields(w.what) {
			if _, err := fmt.Sscanf(field, "corr=%s", &corr); err == nil && answers[corr] != 1 {
				return fmt.Sprintf("%d answers to %s", answers[corr], w)
			}
		}
	}
	for name, n := range deleted {
		if n != 0 {
			return fmt.Sprintf("%s: %d more answers than deletions of %s", who, n, name)
		}
	}
	return ""
}

// watcher is a client that only reads.
type watcher struct {
	nodes   int
	records map[string]*replica // what it is subscribed to
	leaves  map[string]string   // name by the id of a message that unsubscribes
}

func newWatcher(nodes int) *watcher {
	return &watcher{nodes: nodes, records: make(map[string]*replica), leaves: make(map[string]string)}
}

// says notes what the observer asks for.
func (o *watcher) says(line string) {
	var name, id string
	if n, _ := fmt.Sscanf(line, "RECORD UNSUBSCRIBE names=%s corr=%s", &name, &id); n == 2 {
		o.leaves[id] = name
	}
}

func (o *watcher) hear(m *message.Message) error {
	if m.Topic != message.Record {
		return nil
	}
	r := o.records[m.Name]
	switch m.Action {
	case message.RecordUnsubscribe:
		delete(o.records, o.leaves[m.CorrelationID])
	case message.RecordDeleted:
		delete(o.records, m.Name)
	case message.RecordReadResponse:
		r = &replica{}
		o.records[m.Name] = r
		return r.become(m)
	case message.RecordUpdate, message.RecordPatch:
		if r == nil {
			return fmt.Errorf("is told of %s, which it does not want: %+v", m.Name, *m)
		}
		if m.Action == message.RecordUpdate {
			return r.become(m)
		}
		if m.Version <= r.version && o.nodes > 1 {
			return nil // of another node, and read here before
		}
		if m.Version != max(r.version, 0)+1 {
			return fmt.Errorf("has version %d of %s and is told %d", r.version, m.Name, m.Version)
		}
		r.version = m.Version
		var err error
		r.data[m.Path], err = strconv.Atoi(m.Data)
		return err
	}
	return nil
}

// become makes the replica what a message has in whole.
func (r *replica) become(m *message.Message) error {
	r.version, r.data = m.Version, make(map[string]int)
	return json.Unmarshal([]byte(m.Data), &r.data)
}
