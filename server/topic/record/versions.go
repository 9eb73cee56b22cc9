package record

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/store"
	"github.com/dsproxy/dsproxy/server/topic"
)

// versions knows which version of each record its subscribers on this node were told
// last, and a digest of what that was. An update that is not the next one shows by it
// that something went missing, or overtook something, on its way from another node; it
// waits a moment for its turn.
//
// It is a hub.Watcher: a record has an entry while it has subscribers.
type versions struct {
	topic.Watcher
	fresh  func(name string) // is called when a record gets its first subscriber
	seed   maphash.Seed
	shards [lineShards]versionShard
}

type versionShard struct {
	mu      sync.Mutex
	records map[string]followed // guarded by mu
}

// followed is a record with subscribers.
type followed struct {
	told  int64
	sum   uint64 // of what was told (store.Record.Sum), 0 where that is not known
	doubt bool   // the record of that version may be another one
	turn  *turn  // what waits for its turn, nil for nothing
}

// is reports whether subscribers know this record, as far as can be told.
func (f followed) is(r store.Record) bool {
	return f.told == r.Version && (f.sum == r.Sum() || f.sum == 0 && !f.doubt)
}

// turn is what came before something that was written earlier on another node and is
// on its way: updates, by their version, and answers that make sense only to those
// who know a version.
type turn struct {
	ahead   map[int64]update
	answers []answer
	timer   *time.Timer
}

type update struct {
	m      *message.Message
	except *session.Session
}

type answer struct {
	version int64
	send    func()
}

const (
	// turnPatience is how long what is missing is waited for.
	turnPatience = 200 * time.Millisecond
	// maxTurn bounds what waits for the turn of one record.
	maxTurn = 64
)

// unknown is the version of a record of which the subscribers were told nothing.
const unknown = -2

func newVersions(w topic.Watcher, fresh func(name string)) *versions {
	v := &versions{Watcher: w, fresh: fresh, seed: maphash.MakeSeed()}
	for i := range v.shards {
		v.shards[i].records = make(map[string]followed)
	}
	return v
}

func (v *versions) shard(name string) *versionShard {
	return &v.shards[maphash.String(v.seed, name)%lineShards]
}

// First implements hub.Watcher.
func (v *versions) First(name string) {
	sh := v.shard(name)
	sh.mu.Lock()
	sh.records[name] = followed{told: unknown}
	sh.mu.Unlock()
	v.Watcher.First(name)
	v.fresh(name)
}

// Last implements hub.Watcher. It is called under a lock of the hub, which the answers
// ask who is subscribed: they are sent by a goroutine.
func (v *versions) Last(name string) {
	v.Watcher.Last(name)
	answers := v.drop(name)
	sh := v.shard(name)
	sh.mu.Lock()
	delete(sh.records, name)
	sh.mu.Unlock()
	if len(answers) > 0 {
		go func() {
			for _, send := range answers {
				send()
			}
		}()
	}
}

// told returns the last version that the subscribers know, or unknown; wanted is
// false where there are none.
func (v *versions) told(name string) (version int64, wanted bool) {
	sh := v.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	f, wanted := sh.records[name]
	return f.told, wanted
}

// last returns all that is known of what the subscribers were told.
func (v *versions) last(name string) (f followed, wanted bool) {
	sh := v.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	f, wanted = sh.records[name]
	return f, wanted
}

// tell notes what the subscribers are told; sum is 0 where that is only the version.
func (v *versions) tell(name string, version int64, sum uint64) {
	sh := v.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if f, wanted := sh.records[name]; wanted {
		f.told, f.sum, f.doubt = version, sum, false
		sh.records[name] = f
	}
}

// wrote notes that the subscribers are told of a write, unless they know another record
// than the one it was made on: then it reports false, and they are in doubt.
func (v *versions) wrote(name string, m *message.Message) bool {
	sh := v.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	f, wanted := sh.records[name]
	if !wanted {
		return true
	}
	fits := f.fits(m)
	if fits {
		f.write(m)
	} else {
		f.doubt = true
	}
	sh.records[name] = f
	return fits
}

// fits reports whether a write was made on what subscribers know, as far as can be told.
func (f *followed) fits(m *message.Message) bool {
	return m.Action == message.RecordUpdate || m.Base == f.sum || m.Base == 0 || f.sum == 0
}

// write is called with a write that fits.
func (f *followed) write(m *message.Message) {
	f.told = m.Version
	if m.Action == message.RecordUpdate || m.Base == f.sum && m.Base != 0 {
		f.sum, f.doubt = m.Sum, false
	} else {
		f.sum = 0
	}
}

// doubt notes that a record may be another one of the version that was told.
func (v *versions) doubt(name string) {
	sh := v.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if f, wanted := sh.records[name]; wanted {
		f.doubt = true
		sh.records[name] = f
	}
}

// doubtAll is doubt of every record.
func (v *versions) doubtAll() {
	for i := range v.shards {
		sh := &v.shards[i]
		sh.mu.Lock()
		for name, f := range sh.records {
			f.doubt = f.told != unknown
			sh.records[name] = f
		}
		sh.mu.Unlock()
	}
}

// hold keeps something until its turn comes; put is called under a lock. overdue is
// called when nothing has come in time. It reports false if nothing can wait.
func (v *versions) hold(name string, put func(t *turn), overdue func()) bool {
	sh := v.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	f, wanted := sh.records[name]
	if !wanted || f.turn != nil && len(f.turn.ahead)+len(f.turn.answers) >= maxTurn {
		return false
	}
	if f.turn == nil {
		f.turn = &turn{ahead: make(map[int64]update), timer: time.AfterFunc(turnPatience, overdue)}
		sh.records[name] = f
	}
	put(f.turn)
	return true
}

// next takes out the update whose turn it is, and notes that it is told.
func (v *versions) next(name string) (update, bool) {
	sh := v.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	f := sh.records[name]
	if f.turn == nil {
		return update{}, false
	}
	u, ok := f.turn.ahead[following(f.told)]
	if !ok || !f.fits(u.m) { // that will be overdue
		return update{}, false
	}
	f.write(u.m)
	delete(f.turn.ahead, f.told)
	sh.records[name] = f
	return u, true
}

// following is the version that the first write after one gives a record; one that was
// missing begins as version 0 without being told.
func following(version int64) int64 { return max(version, 0) + 1 }

// ripe takes out the answers whose turn has come.
func (v *versions) ripe(name string) (ripe []func()) {
	sh := v.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	f := sh.records[name]
	if f.turn == nil {
		return nil
	}
	var rest []answer
	for _, a := range f.turn.answers {
		if a.version <= f.told {
			ripe = append(ripe, a.send)
		} else {
			rest = append(rest, a)
		}
	}
	f.turn.answers = rest
	if len(f.turn.ahead)+len(rest) == 0 {
		f.turn.timer.Stop()
		f.turn = nil
		sh.records[name] = f
	}
	return ripe
}

// drop forgets the updates that wait, and takes out all answers.
func (v *versions) drop(name string) (answers []func()) {
	sh := v.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	f := sh.records[name]
	if f.turn == nil {
		return nil
	}
	for _, a := range f.turn.answers {
		answers = append(answers, a.send)
	}
	f.turn.timer.Stop()
	f.turn = nil
	sh.records[name] = f
	return answers
}
