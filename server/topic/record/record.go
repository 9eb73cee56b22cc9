// Package record is the RECORD topic: named JSON documents with a version, which
// clients read, subscribe to and write.
//
// A message about one name is a task in that name's line (line.go); a bulk message
// becomes one task a name. A write is read, checked against the version, applied
// to the JSON text and decided by the store's compare-and-put, so that of two
// writers with the same version one is told VERSION_EXISTS, whichever nodes they
// are on. It is acknowledged when both cache and storage have answered and sent to
// the other subscribers as soon as the cache has.
//
// What other nodes write is followed by version (follow.go): an update that is not
// the next one, a gap in what a node says, its end, and a first subscription that
// others may not know of yet have the record compared with the store (check.go), so
// that no subscriber is left on an old version. Those whose read or write failed because
// the store was away are sent the record when it is back (heads.go, astray.go).
//
// Lock order: the locks of listen and heads before those of the hub, those of the hub
// before those of versions, checker and astray. No lock of this package is held while a task
// runs.
package record

import (
	"context"
	"log/slog"
	"strings"

	"github.com/dsproxy/dsproxy/server/hub"
	"github.com/dsproxy/dsproxy/server/interest"
	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/store"
	"github.com/dsproxy/dsproxy/server/topic"
	"github.com/dsproxy/dsproxy/server/topic/listen"
)

// Options are the settings of the topic.
type Options struct {
	// HotPathPrefixes are names whose upserts go to the stores unread and
	// without a version.
	HotPathPrefixes []string
	// MaxSize bounds the JSON of a record, in bytes; 0 means no bound.
	MaxSize int
	Listen  listen.Options
}

// Handler serves the topic.
type Handler struct {
	ctx     context.Context // ends with the node
	log     *slog.Logger
	cluster *topic.Cluster
	hub     *hub.Hub
	listen  *listen.Registry
	store   *store.Tiered
	lines   *lines
	options Options

	failures failures
	versions *versions
	checker  *checker
	heads    *heads
	astray   *astray
}

// New makes a Handler; work on the store ends with ctx.
func New(ctx context.Context, c *topic.Cluster, s *store.Tiered, o Options) *Handler {
	h := &Handler{ctx: ctx, log: c.Log, cluster: c, store: s, options: o, failures: failures{log: c.Log}}
	h.checker = &checker{h: h}
	h.heads = newHeads(h)
	h.astray = newAstray(h)
	h.versions = newVersions(topic.Watcher{Registry: c.Interest, Kind: interest.Records}, h.checker.settle)
	h.hub = hub.New(h.versions)
	c.Interest.WatchKnown(h.mayHaveMissed)
	h.listen = listen.New(message.Record, c, h.hub, o.Listen)
	h.lines = newLines(s.Immediate(), h.do)
	if !c.Alone {
		h.checker.watch()
	}
	return h
}

var words = topic.Words{Multiple: message.RecordMultipleSubscriptions, NotSubscribed: message.RecordNotSubscribed}

// Handle serves one message; it reports false for an action that clients do not
// send.
func (h *Handler) Handle(s *session.Session, m *message.Message) bool {
	switch m.Action {
	case message.RecordSubscribeCreateAndRead, message.RecordSubscribeAndRead:
		if !s.PerName() {
			// The original acknowledges the receipt, names included.
			s.Send(&message.Message{Topic: message.Record, Action: m.Action, CorrelationID: m.CorrelationID,
				Name: m.Name, Names: m.Names, IsAck: true})
		}
		h.each(s, m, nil)
	case message.RecordRead, message.RecordHead, message.RecordHas, message.RecordDelete,
		message.RecordUpdate, message.RecordPatch, message.RecordErase, message.RecordPatchMulti,
		message.RecordCreateAndUpdate, message.RecordCreateAndPatch:
		if m.Name == "" {
			return false
		}
		h.lines.add(m.Name, task{from: s, m: m})
	case message.RecordSubscribeAndHead:
		h.subscribeAndHead(s, m)
	case message.RecordSubscribe, message.RecordUnsubscribe:
		h.each(s, m, whenAll(s, m))
	case message.RecordNotify:
		h.notify(s, m)
	default:
		return h.listen.Handle(s, m)
	}
	return true
}

// each makes a task of every name of m; done, if set, is called once for each when it is
// dealt with.
func (h *Handler) each(s *session.Session, m *message.Message, done func()) {
	one := *m // the lines copy what they keep
	one.Names = nil
	for _, name := range m.AllNames() {
		one.Name = name
		h.lines.add(name, task{from: s, m: &one, done: done})
	}
}

// do is what the lines call.
func (h *Handler) do(t *task) {
	switch {
	case t.astray:
		h.lead(t.from, t.m.Name)
		return
	case t.head:
		h.tellHead(t.from, t.m)
		return
	case t.catchUp && t.from != nil:
		h.bring(t.from, t.m.Name)
		return
	case t.catchUp:
		h.catchUp(t.m.Name)
		return
	case t.from == nil:
		h.remote(t.m)
		return
	}
	switch t.m.Action {
	case message.RecordSubscribeCreateAndRead, message.RecordSubscribeAndRead:
		h.subscribeAndRead(t.from, t.m)
	case message.RecordSubscribe:
		h.subscribe(t.from, t.m)
	case message.RecordUnsubscribe:
		h.unsubscribe(t.from, t.m)
	case message.RecordRead:
		h.read(t.from, t.m)
	case message.RecordHead, message.RecordHas:
		h.head(t.from, t.m)
	case message.RecordSubscribeAndHead:
		h.headAndSubscribe(t.from, t.m)
	case message.RecordDelete:
		h.delete(t.from, t.m)
	case message.RecordNotify:
		h.reload(t.from, t.m)
	default:
		h.write(t.from, t.m)
	}
	if t.done != nil {
		t.done()
	}
}

func (h *Handler) unsubscribed(name string, last bool) {
	if last {
		h.listen.Unwanted(name)
	}
}

// Closed forgets a session. Its subscriptions go first, so that nobody is asked to
// provide what it alone wanted and provided.
func (h *Handler) Closed(s *session.Session) {
	h.heads.forget(s)
	h.astray.forget(s)
	for _, name := range h.hub.RemoveSession(s) {
		h.listen.Unwanted(name)
	}
	h.listen.Closed(s)
}

// Close ends the searches for providers and what is done from time to time.
func (h *Handler) Close() {
	h.listen.Close()
	h.checker.close()
	h.heads.close()
	h.astray.close()
}

// Names is the number of records with subscribers.
func (h *Handler) Names() int { return h.hub.Len() }

func (h *Handler) hot(name string) bool {
	for _, p := range h.options.HotPathPrefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}
