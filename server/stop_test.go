package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dsproxy/dsproxy/server/store"
)

// hangingStorage does not come back from a call, as one on a disk that is gone,
// until its gate opens.
type hangingStorage struct {
	hangsAt string
	entered chan struct{}
	gate    chan struct{}
	once    sync.Once
}

func newHangingStorage(at string) *hangingStorage {
	return &hangingStorage{hangsAt: at, entered: make(chan struct{}), gate: make(chan struct{})}
}

func (s *hangingStorage) hang(at string) {
	if at == s.hangsAt {
		s.once.Do(func() { close(s.entered) })
		<-s.gate
	}
}

func (s *hangingStorage) Get(context.Context, string) (store.Record, error) {
	return store.Record{Version: store.Missing}, nil
}
func (s *hangingStorage) Apply(context.Context, []store.Op) error { s.hang("Apply"); return nil }
func (s *hangingStorage) Close() error                            { s.hang("Close"); return nil }

// lockedBuffer is for a log that goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// runHanging runs a node over a storage, writes a record, tells the node to stop and
// returns what Run says while the storage hangs, and the log. What does not hang has
// all of overtime to end.
func runHanging(t *testing.T, storage *hangingStorage, overtime time.Duration) (logged string, err error) {
	t.Helper()
	var log lockedBuffer
	c := Defaults()
	c.Addr, c.AdminAddr = "127.0.0.1:0", "127.0.0.1:0"
	c.Log = slog.New(slog.NewTextHandler(&log, nil))
	c.Storage = storage
	c.DrainTimeout, c.Overtime = time.Second, overtime
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	if err := s.store.Force(ctx, "r", store.Record{Version: 1, Data: "{}"}, nil); err != nil {
		t.Fatal(err)
	}
	if storage.hangsAt == "Apply" {
		<-storage.entered
	}
	cancel()
	err = <-done
	return log.String(), err
}

// TestStopWithHangingStorage: a storage that hangs in a call does not hold the node,
// which says what it gave up, and how much has not been written.
func TestStopWithHangingStorage(t *testing.T) {
	f := func(at, givenUp, unwritten string) {
		t.Run(at, func(t *testing.T) {
			t.Parallel() // each waits for the end of its time
			storage := newHangingStorage(at)
			defer close(storage.gate)
			log, err := runHanging(t, storage, 2*time.Second)
			if !errors.Is(err, ErrStuck) || !strings.HasSuffix(err.Error(), "given up after 3s: "+givenUp) {
				t.Errorf("the node ended with %v", err)
			}
			if !strings.Contains(log, `given_up="[`+givenUp+`]" unwritten=`+unwritten+"\n") {
				t.Errorf("the log is\n%s", log)
			}
		})
	}
	f("Apply", "writing to the storage", "1")
	f("Close", "closing the stores", "0")
}

// TestStopWithoutHanging: a node that has written everything says nothing of it.
func TestStopWithoutHanging(t *testing.T) {
	log, err := runHanging(t, newHangingStorage("nowhere"), time.Minute)
	if err != nil || strings.Contains(log, "given_up") {
		t.Errorf("the node ended with %v; the log is\n%s", err, log)
	}
}
