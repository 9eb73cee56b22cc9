package affinity

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"strings"
	"sync"
	"time"
)

// Memory is a Table in the memory of one process: the default for a single
// replica. See NewMemory.
type Memory struct {
	start  time.Time
	secret []byte
	shards []memoryShard // a power of two
}

// memoryShard keeps its pins also in a heap, so that expiry and eviction find
// the soonest to end without looking at the others.
type memoryShard struct {
	mu      sync.Mutex
	max     int
	pins    map[Key]*memoryPin
	heap    []*memoryPin // the soonest to end first
	evicted uint64
}

type memoryPin struct {
	key     Key
	backend string
	life    time.Duration
	ends    time.Duration // since Memory.start
	at      int           // index in the heap
}

const (
	defaultMemoryPins = 1_000_000
	memoryShards      = 64
	// expireAtOnce bounds the expired pins that one call removes. More than one,
	// so that expiry outruns making pins.
	expireAtOnce = 4
)

// NewMemory returns a table of at most maxPins pins; 0 means 1,000,000. The
// bound is kept by shards that share it evenly. A full shard gives up the pin
// that is soonest to end, for pins in use are renewed all the time, and counts
// it. Expired pins leave little by little, a few with every call.
func NewMemory(maxPins int) *Memory {
	if maxPins <= 0 {
		maxPins = defaultMemoryPins
	}
	n := memoryShards
	for n > 1 && maxPins/n < 64 {
		n /= 2
	}
	m := &Memory{start: time.Now(), secret: newSecret(), shards: make([]memoryShard, n)}
	for i := range m.shards {
		m.shards[i].max = maxPins / n
		m.shards[i].pins = make(map[Key]*memoryPin)
	}
	return m
}

func newSecret() []byte {
	secret := make([]byte, secretLen)
	rand.Read(secret) // never fails, crypto/rand says
	return secret
}

// secretLen is the length of the secret that replicas share, in bytes.
const secretLen = 32

// Keys are hashes, so any of their bits spread them evenly.
func (m *Memory) shard(k Key) *memoryShard {
	return &m.shards[binary.LittleEndian.Uint64(k[8:])&uint64(len(m.shards)-1)]
}

// Get implements Table.
func (m *Memory) Get(_ context.Context, key Key) (Pin, error) {
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(time.Since(m.start))
	p := s.pins[key]
	if p == nil || p.ends <= time.Since(m.start) {
		return Pin{}, ErrNotFound
	}
	return Pin{Key: key, Backend: p.backend, Life: p.life}, nil
}

// Put implements Table. It fails only for a pin that is not valid.
func (m *Memory) Put(_ context.Context, pins []Pin) ([]string, error) {
	kept := make([]string, len(pins))
	var errs []error
	for i := range pins {
		if err := pins[i].validate(); err != nil {
			errs = append(errs, err)
			continue
		}
		kept[i] = m.shard(pins[i].Key).put(&pins[i], time.Since(m.start))
	}
	return kept, errors.Join(errs...)
}

func (s *memoryShard) put(pin *Pin, now time.Duration) (kept string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	p := s.pins[pin.Key]
	switch {
	case p == nil:
		if len(s.heap) >= s.max {
			s.remove(s.heap[0])
			s.evicted++
		}
		p = &memoryPin{key: pin.Key, at: len(s.heap)}
		s.pins[pin.Key] = p
		s.heap = append(s.heap, p)
	case p.ends <= now, p.backend == pin.Backend, p.backend == pin.From:
	default:
		return p.backend
	}
	// A copy, because the caller's string may be a piece of something big.
	if p.backend != pin.Backend {
		p.backend = strings.Clone(pin.Backend)
	}
	p.life, p.ends = pin.Life, now+pin.Life
	s.fix(p.at)
	return p.backend
}

// Delete implements Table; it never fails.
func (m *Memory) Delete(_ context.Context, pins []Pin) error {
	for i := range pins {
		s := m.shard(pins[i].Key)
		s.mu.Lock()
		p := s.pins[pins[i].Key]
		if p != nil && (pins[i].Backend == "" || pins[i].Backend == p.backend) {
			s.remove(p)
		}
		s.mu.Unlock()
	}
	return nil
}

// Check implements Table; it never fails.
func (m *Memory) Check(context.Context) (string, error) { return "memory", nil }

// SharedSecret returns 32 random bytes that stay the same for this process.
func (m *Memory) SharedSecret(context.Context) ([]byte, error) { return m.secret, nil }

// Len returns how many pins there are, with the expired ones not removed yet.
func (m *Memory) Len() int {
	n := 0
	for i := range m.shards {
		m.shards[i].mu.Lock()
		n += len(m.shards[i].heap)
		m.shards[i].mu.Unlock()
	}
	return n
}

// Evicted returns how many pins a full table gave up before their end.
func (m *Memory) Evicted() uint64 {
	var n uint64
	for i := range m.shards {
		m.shards[i].mu.Lock()
		n += m.shards[i].evicted
		m.shards[i].mu.Unlock()
	}
	return n
}

// expire removes some of the pins that have ended.
func (s *memoryShard) expire(now time.Duration) {
	for range expireAtOnce {
		if len(s.heap) == 0 || s.heap[0].ends > now {
			return
		}
		s.remove(s.heap[0])
	}
}

func (s *memoryShard) remove(p *memoryPin) {
	delete(s.pins, p.key)
	last := len(s.heap) - 1
	at := p.at
	s.heap[at] = s.heap[last]
	s.heap[at].at = at
	s.heap[last] = nil
	s.heap = s.heap[:last]
	if at < last {
		s.fix(at)
	}
}

// fix moves the pin at index i to where its end belongs.
func (s *memoryShard) fix(i int) {
	h := s.heap
	for i > 0 {
		up := (i - 1) / 2
		if h[up].ends <= h[i].ends {
			break
		}
		s.swap(i, up)
		i = up
	}
	for {
		down := 2*i + 1
		if down >= len(h) {
			return
		}
		if right := down + 1; right < len(h) && h[right].ends < h[down].ends {
			down = right
		}
		if h[i].ends <= h[down].ends {
			return
		}
		s.swap(i, down)
		i = down
	}
}

func (s *memoryShard) swap(i, j int) {
	h := s.heap
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}
