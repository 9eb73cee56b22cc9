package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/store"
	"github.com/dsproxy/dsproxy/server/topic"
)

// backlogCache does not answer before its gate opens, but for one record.
type backlogCache struct {
	*store.Memory
	gate chan struct{}
	but  string
}

func (c *backlogCache) Versions(ctx context.Context, names []string) ([]int64, error) {
	if names[0] != c.but {
		<-c.gate
	}
	return c.Memory.Versions(ctx, names)
}

func (c *backlogCache) Delete(ctx context.Context, names ...string) error {
	if names[0] != c.but {
		<-c.gate
	}
	return c.Memory.Delete(ctx, names...)
}

func (c *backlogCache) Get(ctx context.Context, name string) (store.Record, error) {
	if name != c.but {
		<-c.gate
	}
	return c.Memory.Get(ctx, name)
}

// TestRecordBacklog: what other nodes say of a record for which there is more to do than
// can wait holds up nothing else that they say, and its subscribers hear of it later.
func TestRecordBacklog(t *testing.T) {
	const written = `{"p":2}`
	update := &message.Message{Topic: message.Record, Action: message.RecordUpdate, Name: "r", Version: 2, HasVersion: true,
		Data: written, Sum: store.Record{Version: 2, Data: written}.Sum()}
	notify := &message.Message{Topic: message.Record, Action: message.RecordNotify, Name: "r"}
	deleted := &message.Message{Topic: message.Record, Action: message.RecordDeleted, Name: "r"}
	for _, tt := range []struct {
		name string
		busy func(i int) (record string) // what is asked for
		said *message.Message
		want string
	}{
		{"update, full line", func(int) string { return "r" }, update, "a< RECORD UPDATE name=r version=2 writeAck=false data=" + written},
		{"notify, full line", func(int) string { return "r" }, notify, "a< RECORD UPDATE name=r version=2 writeAck=false data=" + written},
		{"delete, full line", func(int) string { return "r" }, deleted, "a< RECORD DELETED name=r"},
		{"notify, many lines", func(i int) string { return fmt.Sprint("r", i) }, notify, "a< RECORD UPDATE name=r version=2 writeAck=false data=" + written},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cache := &backlogCache{store.NewMemory(0), make(chan struct{}), "r"}
				d := newDialogue(t, func(c *Config) { c.Cache = cache })
				defer d.stop()
				node := d.nodes[0]
				for _, name := range []string{"a", "b"} {
					d.connect(node, name, "protobuf")
					d.login(name, name)
				}
				d.send(d.client("a"), "RECORD SUBSCRIBECREATEANDREAD names=r corr=1")
				d.send(d.client("a"), "EVENT SUBSCRIBE names=e corr=2")
				var out strings.Builder
				d.hear(&out)
				cache.but = ""
				go func() {
					for i := range 2000 {
						d.send(d.client("b"), "RECORD READ name="+tt.busy(i))
					}
				}()
				synctest.Wait()
				if tt.said == deleted {
					_ = cache.Memory.Delete(context.Background(), "r")
				} else {
					_ = cache.Put(context.Background(), "r", store.Record{Version: 2, Data: written})
				}
				go func() {
					for range 10 {
						node.peers.Deliver("other", topic.Pack(tt.said))
					}
					node.peers.Deliver("other", topic.Pack(&message.Message{Topic: message.Event, Action: message.EventEmit, Name: "e"}))
				}()
				out.Reset()
				d.hear(&out)
				if got := out.String(); got != "a< EVENT EMIT name=e\n" {
					t.Errorf("heard while the store hangs:\n%s", got)
				}
				close(cache.gate)
				out.Reset()
				d.hear(&out)
				time.Sleep(2 * time.Second)
				d.hear(&out)
				heard := slices.DeleteFunc(strings.Split(out.String(), "\n"), func(line string) bool { return !strings.HasPrefix(line, "a<") })
				if !slices.Equal(heard, []string{tt.want}) {
					t.Errorf("heard of the record: %q, want %q", heard, tt.want)
				}
			})
		})
	}
}

// TestRecordWaits: what the goroutine that reads has to ask the store itself does not keep
// other clients waiting for that goroutine.
func TestRecordWaits(t *testing.T) {
	for _, say := range []string{"RECORD SUBSCRIBEANDHEAD names=r corr=1", "RECORD NOTIFY names=r corr=1"} {
		synctest.Test(t, func(t *testing.T) {
			cache := &backlogCache{store.NewMemory(0), make(chan struct{}), ""}
			d := newDialogue(t, func(c *Config) { c.Cache = cache })
			defer d.stop()
			d.connect(d.nodes[0], "a", "protobuf")
			d.login("a", "a")
			a := d.client("a")
			go d.send(a, say)
			time.Sleep(time.Second)
			if n := a.yields.Load(); n != 1 {
				t.Errorf("%s: another goroutine was asked %d times to read, want once", say, n)
			}
			close(cache.gate)
			var out strings.Builder
			d.hear(&out)
			d.send(a, say)
			time.Sleep(time.Second)
			if n := a.yields.Load(); n != 1 || !strings.Contains(out.String(), "corr=1 ack") {
				t.Errorf("%s: heard %q, and another goroutine was asked %d times", say, out.String(), n)
			}
		})
	}
}
