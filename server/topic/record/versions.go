package record

import (
	"hash/maphash"
	"sync"

	"github.com/dsproxy/dsproxy/server/topic"
)

// versions knows which version of each record its subscribers on this node were told
// last. An update that is not the next one shows by it that something went missing,
// or overtook something, on its way from another node.
//
// It is a hub.Watcher: a record has an entry while it has subscribers.
type versions struct {
	topic.Watcher
	fresh  func(name string) // is called when a record gets its first subscriber
	seed   maphash.Seed
	shards [lineShards]versionShard
}

type versionShard struct {
	mu   sync.Mutex
	told map[string]int64 // guarded by mu
}

// unknown is the version of a record of which the subscribers were told nothing.
const unknown = -2

func newVersions(w topic.Watcher, fresh func(name string)) *versions {
	v := &versions{Watcher: w, fresh: fresh, seed: maphash.MakeSeed()}
	for i := range v.shards {
		v.shards[i].told = make(map[string]int64)
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
	sh.told[name] = unknown
	sh.mu.Unlock()
	v.Watcher.First(name)
	v.fresh(name)
}

// Last implements hub.Watcher.
func (v *versions) Last(name string) {
	v.Watcher.Last(name)
	sh := v.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	delete(sh.told, name)
}

// told returns the last version that the subscribers know, or unknown; wanted is
// false where there are none.
func (v *versions) told(name string) (version int64, wanted bool) {
	sh := v.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	version, wanted = sh.told[name]
	return version, wanted
}

// tell notes what the subscribers are told.
func (v *versions) tell(name string, version int64) {
	sh := v.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if _, wanted := sh.told[name]; wanted {
		sh.told[name] = version
	}
}
