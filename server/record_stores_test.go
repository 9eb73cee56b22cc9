package server

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsproxy/dsproxy/server/store"
)

// disk is a Storage that takes its time and can break.
type disk struct {
	mu      sync.Mutex
	records map[string]store.Record
	broken  bool
	slow    time.Duration // of writes
	behind  time.Duration // of reads
}

func (d *disk) Get(_ context.Context, name string) (store.Record, error) {
	time.Sleep(d.behind) // by the test's own clock
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken {
		return store.Record{}, errors.New("disk is gone")
	}
	if r, ok := d.records[name]; ok {
		return r, nil
	}
	return store.Record{Version: store.Missing}, nil
}

func (d *disk) Apply(_ context.Context, ops []store.Op) error {
	time.Sleep(d.slow) // by the test's own clock
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken {
		return errors.New("disk is full")
	}
	for _, op := range ops {
		d.records[op.Name] = op.Record
	}
	return nil
}

func (d *disk) Close() error { return nil }

func (d *disk) is(broken bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = broken
}

// talk plays lines against a node with a disk and returns what is heard.
func talk(t *testing.T, d *dialogue, lines ...string) string {
	t.Helper()
	var out strings.Builder
	for _, line := range lines {
		who, what, _ := strings.Cut(line, "> ")
		d.send(d.client(who), what)
	}
	d.hear(&out)
	return strings.TrimSpace(out.String())
}

func withDisk(t *testing.T, change func(c *Config), f func(d *dialogue, storage *disk)) {
	synctest.Test(t, func(t *testing.T) {
		storage := &disk{records: make(map[string]store.Record)}
		d := newDialogue(t, func(c *Config) {
			c.Storage = storage
			if change != nil {
				change(c)
			}
		})
		defer d.stop()
		d.connect(d.nodes[0], "a", "protobuf")
		d.login("a", "al")
		f(d, storage)
	})
}

func expect(t *testing.T, got string, want ...string) {
	t.Helper()
	if got != strings.Join(want, "\n") {
		t.Errorf("heard\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

// TestWriteAckWaitsForStorage: the acknowledgement comes when both have answered,
// and is an error if either failed.
func TestWriteAckWaitsForStorage(t *testing.T) {
	withDisk(t, nil, func(d *dialogue, storage *disk) {
		storage.slow = time.Second
		const write = `a> RECORD CREATEANDUPDATE name=r version=-1 corr=1 writeAck=true data={"a":1}`
		expect(t, talk(t, d, write))
		time.Sleep(time.Second)
		expect(t, talk(t, d), "a< RECORD WRITE_ACKNOWLEDGEMENT name=r corr=1 writeAck=true")
		storage.is(true)
		talk(t, d, write)
		time.Sleep(time.Second)
		expect(t, talk(t, d), `a< RECORD RECORD_UPDATE_ERROR name=r corr=1 error writeAck=true data="Error writing to storage"`)
		storage.is(false)
	})
}

// TestDeleteAnswersWaitingWrites: writes before a delete are done, those after it
// are refused, none is forgotten.
func TestDeleteAnswersWaitingWrites(t *testing.T) {
	withDisk(t, nil, func(d *dialogue, storage *disk) {
		storage.slow = time.Second
		talk(t, d, `a> RECORD CREATEANDUPDATE name=r version=-1 data={}`)
		talk(t, d,
			`a> RECORD PATCH name=r version=-1 path=x corr=1 writeAck=true data=1`,
			`a> RECORD DELETE name=r`,
			`a> RECORD PATCH name=r version=-1 path=x corr=2 writeAck=true data=2`,
			`a> RECORD HEAD name=r`)
		time.Sleep(10 * time.Second)
		expect(t, talk(t, d),
			"a< RECORD WRITE_ACKNOWLEDGEMENT name=r corr=1 writeAck=true",
			"a< RECORD DELETE_SUCCESS name=r",
			`a< RECORD RECORD_UPDATE_ERROR name=r corr=2 error writeAck=true data="record does not exist"`,
			"a< RECORD HEAD_RESPONSE name=r version=-1")
	})
}

// TestStorageErrors: a storage that fails is an error to who asked, and nobody is
// left subscribed to what could not be read.
func TestStorageErrors(t *testing.T) {
	withDisk(t, nil, func(d *dialogue, storage *disk) {
		storage.is(true)
		expect(t, talk(t, d, "a> RECORD READ name=r"), "a< RECORD RECORD_LOAD_ERROR name=r original=READ error")
		expect(t, talk(t, d, "a> RECORD SUBSCRIBECREATEANDREAD names=r corr=1"),
			"a< RECORD SUBSCRIBECREATEANDREAD names=r corr=1 ack",
			"a< RECORD RECORD_LOAD_ERROR name=r corr=1 original=SUBSCRIBECREATEANDREAD error")
		expect(t, talk(t, d, "a> RECORD DELETE name=r"), "a< RECORD RECORD_DELETE_ERROR name=r original=DELETE error",
			"a< RECORD RECORD_UPDATE_ERROR name=r original=DELETE error")
		storage.is(false)
		expect(t, talk(t, d, "a> RECORD SUBSCRIBECREATEANDREAD names=r corr=2"),
			"a< RECORD SUBSCRIBECREATEANDREAD names=r corr=2 ack", "a< RECORD READ_RESPONSE name=r version=0 data={}")
	})
}

// TestStorageHangs: who writes or deletes is told when the storage does not answer.
func TestStorageHangs(t *testing.T) {
	withDisk(t, func(c *Config) { c.Store.StorageTimeout = 2 * time.Second }, func(d *dialogue, storage *disk) {
		d.connect(d.nodes[0], "b", "text-v3")
		d.login("b", "bo")
		talk(t, d, "a> RECORD SUBSCRIBECREATEANDREAD names=old corr=1")
		storage.slow = time.Hour
		expect(t, talk(t, d,
			`a> RECORD CREATEANDUPDATE name=r version=-1 corr=1 writeAck=true data={"a":1}`,
			`a> RECORD CREATEANDUPDATE name=s version=-1 data={"a":1}`,
			"a> RECORD DELETE name=old", "b> R|CU|t|-1|{}|{}"))
		time.Sleep(2 * time.Second)
		got := strings.Split(talk(t, d), "\n")
		slices.Sort(got) // different records
		expect(t, strings.Join(got, "\n"),
			"a< RECORD RECORD_DELETE_ERROR name=old original=DELETE error",
			"a< RECORD RECORD_UPDATE_ERROR name=old original=DELETE error",
			`a< RECORD RECORD_UPDATE_ERROR name=r corr=1 error writeAck=true data="Error writing to storage"`,
			"a< RECORD RECORD_UPDATE_ERROR name=s original=CREATEANDUPDATE error",
			"b< C|PI", "b< R|E|RECORD_UPDATE_ERROR|t")
	})
}

// hangingCache is a cache that does not answer once it hangs.
type hangingCache struct {
	store.Cache
	hangs atomic.Bool
}

func (c *hangingCache) Versions(ctx context.Context, names []string) ([]int64, error) {
	if c.hangs.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return c.Cache.Versions(ctx, names)
}

func (c *hangingCache) Delete(ctx context.Context, names ...string) error {
	if c.hangs.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return c.Cache.Delete(ctx, names...)
}

// TestDeleteWithoutCache: a deletion that fails is told as one, whatever failed.
func TestDeleteWithoutCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cache *hangingCache
		d := newDialogue(t, func(c *Config) {
			cache = &hangingCache{Cache: c.Cache}
			c.Cache, c.Store.CacheTimeout = cache, time.Second
		})
		defer d.stop()
		for name, protocol := range map[string]string{"a": "protobuf", "b": "text-v1"} {
			d.connect(d.nodes[0], name, protocol)
			d.login(name, name)
		}
		cache.hangs.Store(true)
		talk(t, d, "a> RECORD DELETE name=r")
		time.Sleep(time.Second)
		expect(t, talk(t, d), "a< RECORD RECORD_DELETE_ERROR name=r original=DELETE error",
			"a< RECORD RECORD_UPDATE_ERROR name=r original=DELETE error")
		talk(t, d, "b> R|D|r")
		time.Sleep(time.Second)
		expect(t, talk(t, d), "b< R|E|RECORD_DELETE_ERROR|r")
	})
}

// TestReturnWithoutCache: a client that comes back while the cache does not answer is
// told the versions of its records when it does.
func TestReturnWithoutCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cache *hangingCache
		d := newDialogue(t, func(c *Config) {
			cache = &hangingCache{Cache: c.Cache}
			c.Cache, c.Store.CacheTimeout = cache, time.Second
		})
		defer d.stop()
		for _, name := range []string{"a", "b"} {
			d.connect(d.nodes[0], name, "protobuf")
			d.login(name, name)
		}
		talk(t, d, "b> RECORD CREATEANDUPDATE name=r version=-1 data={}")
		cache.hangs.Store(true)
		expect(t, talk(t, d, "a> RECORD SUBSCRIBEANDHEAD names=r,missing,left corr=1"),
			"a< RECORD CACHE_RETRIEVAL_TIMEOUT corr=1 original=SUBSCRIBEANDHEAD error",
			"a< RECORD SUBSCRIBEANDHEAD corr=1 ack")
		expect(t, talk(t, d, "a> RECORD UNSUBSCRIBE names=left corr=2"), "a< RECORD UNSUBSCRIBE corr=2 ack")
		time.Sleep(10 * time.Second)
		expect(t, talk(t, d))
		cache.hangs.Store(false)
		time.Sleep(3 * time.Second)
		expect(t, talk(t, d), "a< RECORD HEAD_RESPONSE_BULK version:r=1", "a< RECORD HEAD_RESPONSE name=missing version=-1")
		expect(t, talk(t, d, `b> RECORD UPDATE name=r version=2 data={"a":1}`),
			`a< RECORD UPDATE name=r version=2 writeAck=false data={"a":1}`)
		time.Sleep(10 * time.Second)
		expect(t, talk(t, d))
	})
}

// TestHotPath: upserts of such names are not read and have version 0.
func TestHotPath(t *testing.T) {
	withDisk(t, func(c *Config) { c.Record.HotPathPrefixes = []string{"hot/"} }, func(d *dialogue, storage *disk) {
		d.connect(d.nodes[0], "b", "protobuf")
		d.login("b", "bo")
		talk(t, d, "b> RECORD SUBSCRIBECREATEANDREAD names=hot/1 corr=1")
		expect(t, talk(t, d, `a> RECORD CREATEANDUPDATE name=hot/1 version=-1 corr=1 writeAck=true data={"a":1}`),
			"a< RECORD WRITE_ACKNOWLEDGEMENT name=hot/1 corr=1 writeAck=true",
			`b< RECORD UPDATE name=hot/1 version=0 writeAck=false data={"a":1}`)
		expect(t, talk(t, d, `a> RECORD CREATEANDPATCH name=hot/1 version=-1 path=a corr=2 data=2`),
			"a< RECORD INVALID_PATCH_ON_HOTPATH name=hot/1 corr=2 original=CREATEANDPATCH error")
		// Who waits for an acknowledgement finds the answer by what its protocol has for it.
		d.connect(d.nodes[0], "c", "text-v3")
		d.login("c", "cy")
		expect(t, talk(t, d, `a> RECORD CREATEANDPATCH name=hot/1 version=-1 path=a corr=3 writeAck=true data=2`,
			`c> R|CU|hot/1|-1|a|N2|{"writeSuccess":true}`, `c> R|CU|hot/1|-1|a|N2|{}`),
			"a< RECORD INVALID_PATCH_ON_HOTPATH name=hot/1 corr=3 original=CREATEANDPATCH error writeAck=true",
			"c< R|WA|hot/1|[-1]|SINVALID_PATCH_ON_HOTPATH", `c< R|E|INVALID_MESSAGE_DATA|R|CU|hot/1|-1|a|N2|{}`)
		expect(t, talk(t, d, `c> R|CU|cold|-1|[|N2|{"writeSuccess":true}`), "c< R|WA|cold|[-1]|SINVALID_MESSAGE_DATA")
		if r := storage.records["hot/1"]; r.Version != 0 || r.Data != `{"a":1}` {
			t.Errorf("stored %+v", r)
		}
	})
}

// TestExclusion: excluded names stay out of the storage and are acknowledged by the
// cache alone.
func TestExclusion(t *testing.T) {
	withDisk(t, func(c *Config) { c.Store.ExclusionPrefixes = []string{"tmp/"} }, func(d *dialogue, storage *disk) {
		storage.is(true)
		expect(t, talk(t, d, `a> RECORD CREATEANDUPDATE name=tmp/1 version=-1 corr=1 writeAck=true data={}`),
			"a< RECORD WRITE_ACKNOWLEDGEMENT name=tmp/1 corr=1 writeAck=true")
		if len(storage.records) > 0 {
			t.Errorf("stored %v", storage.records)
		}
	})
}

// TestNotify: records that were changed behind the node's back are read again.
func TestNotify(t *testing.T) {
	withDisk(t, nil, func(d *dialogue, storage *disk) {
		d.connect(d.nodes[0], "b", "text-v1")
		d.login("b", "bo")
		talk(t, d, "b> R|CR|r", "b> R|CR|gone")
		storage.mu.Lock()
		storage.records["r"] = store.Record{Version: 9, Data: `{"new":1}`}
		delete(storage.records, "gone")
		storage.mu.Unlock()
		expect(t, talk(t, d, "a> RECORD NOTIFY names=r,other corr=1"),
			"a< RECORD NOTIFY names=r,other corr=1 ack", `b< R|U|r|9|{"new":1}`)
		expect(t, talk(t, d, "a> RECORD NOTIFY names=gone corr=2"),
			"a< RECORD NOTIFY names=gone corr=2 ack", "b< R|A|D|gone")
	})
}

// TestNotifyAmongNodes: a notice on one node reaches the subscribers on all, those of
// the node that nobody told included.
func TestNotifyAmongNodes(t *testing.T) {
	withDisk(t, nil, func(d *dialogue, storage *disk) {
		d.addNode()
		d.connect(d.nodes[1], "b", "text-v3")
		d.login("b", "bo")
		d.connect(d.nodes[1], "c", "protobuf")
		d.login("c", "cy")
		talk(t, d, "b> R|CR|r", "b> R|CR|gone", "c> RECORD SUBSCRIBECREATEANDREAD names=r corr=1", "a> RECORD HEAD name=r")
		storage.mu.Lock()
		storage.records["r"] = store.Record{Version: 9, Data: `{"new":1}`}
		delete(storage.records, "gone")
		storage.mu.Unlock()
		expect(t, talk(t, d, "a> RECORD NOTIFY names=r,unread corr=2"),
			"a< RECORD NOTIFY names=r,unread corr=2 ack",
			`b< R|U|r|9|{"new":1}`,
			`c< RECORD UPDATE name=r version=9 data={"new":1}`)
		expect(t, talk(t, d, "a> RECORD NOTIFY names=gone corr=3"),
			"a< RECORD NOTIFY names=gone corr=3 ack", "b< R|A|D|gone")
		// Both nodes go on from what they were told.
		expect(t, talk(t, d, "b> R|P|r|10|x|N1"), "c< RECORD PATCH name=r path=x version=10 writeAck=false data=1")
		expect(t, talk(t, d, "a> RECORD UPDATE name=r version=10 data={}"),
			`a< RECORD VERSION_EXISTS name=r version=10 original=UPDATE data={"new":1,"x":1}`)
		// The one whose record is gone is not subscribed any more.
		expect(t, talk(t, d, "a> RECORD CREATEANDUPDATE name=gone version=-1 data={}"))
	})
}

// TestMaxSize: a record does not grow beyond its bound.
func TestMaxSize(t *testing.T) {
	withDisk(t, func(c *Config) { c.Record.MaxSize = 50 }, func(d *dialogue, _ *disk) {
		talk(t, d, "a> RECORD SUBSCRIBECREATEANDREAD names=r corr=1")
		big := strings.Repeat("x", 60)
		expect(t, talk(t, d, `a> RECORD PATCH name=r version=1 path=p data="`+big+`"`),
			`a< RECORD INVALID_MESSAGE_DATA name=r original=PATCH error data="`+big+`"`)
		expect(t, talk(t, d, "a> RECORD HEAD name=r"), "a< RECORD HEAD_RESPONSE name=r version=0")
	})
}
