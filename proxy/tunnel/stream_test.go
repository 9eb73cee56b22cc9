package tunnel

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// source is a stream of bytes made from a seed.
type source struct {
	rnd  *rand.ChaCha8
	left int64
	sum  hash.Hash
}

func newSource(seed byte, n int64) *source {
	return &source{rand.NewChaCha8([32]byte{seed}), n, sha256.New()}
}

func (s *source) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), s.left)]
	s.left -= int64(len(p))
	s.rnd.Read(p)
	s.sum.Write(p)
	return len(p), nil
}

// onlyWriter and onlyReader hide the shortcuts of io.Copy.
type onlyWriter struct{ io.Writer }
type onlyReader struct{ io.Reader }

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// exchange sends n bytes both ways at once and compares checksums.
func (r *rig) exchange(l *link, n int64, chunk int) {
	var g sync.WaitGroup
	ends := []peer{l.client, l.backend}
	var sent, got [2][]byte
	for i, p := range ends {
		p.SetDeadline(time.Now().Add(5 * patience))
		g.Go(func() {
			src := newSource(byte(i), n)
			if _, err := io.CopyBuffer(onlyWriter{p}, src, make([]byte, chunk)); err != nil {
				r.t.Errorf("sending: %v", err)
			}
			p.CloseWrite()
			sent[i] = src.sum.Sum(nil)
		})
		g.Go(func() {
			sum := sha256.New()
			if _, err := io.CopyBuffer(sum, onlyReader{p}, make([]byte, chunk)); err != nil {
				r.t.Errorf("receiving: %v", err)
			}
			got[1-i] = sum.Sum(nil)
		})
	}
	g.Wait()
	for i := range ends {
		if !bytes.Equal(sent[i], got[i]) {
			r.t.Errorf("direction %d: what was sent is not what came", i)
		}
	}
	if s := r.end(l); s.ToBackend != n || s.ToClient != n || s.Err != nil {
		r.t.Errorf("ended with %+v", s)
	}
}

func TestBulkBothWaysAtOnce(t *testing.T) {
	n := int64(200 << 20)
	if testing.Short() {
		n = 8 << 20
	}
	everyPath(t, func(t *testing.T, r *rig) { r.exchange(r.open(Options{}, "", ""), n, 128<<10) })
}

func TestSmallBufferLimit(t *testing.T) {
	everyPath(t, func(t *testing.T, r *rig) {
		r.small = true
		r.exchange(r.open(Options{BufferLimit: 1}, "", ""), 2<<20, 32<<10)
	})
}

// A reader that takes nothing stops the writer, and what the relay holds stays
// within the limit.
func TestSlowReaderStopsFastWriter(t *testing.T) {
	everyPath(t, func(t *testing.T, r *rig) {
		r.small = true
		for _, limit := range []int{0, 3000} {
			r.eitherFirst(func(t *testing.T, r *rig, pick picker, s side) {
				l := r.open(Options{BufferLimit: limit}, "", "")
				first, second := pick(l)
				sent := r.stuff(first)
				bound := int64(limit)
				if limit == 0 {
					bound = DefaultBufferLimit
				}
				if held := r.Totals().Held; held > bound {
					t.Errorf("holds %d bytes; the limit is %d", held, bound)
				}
				go func() { sent(); first.CloseWrite() }()
				if n, err := io.Copy(io.Discard, second); n != sent() || err != nil {
					t.Errorf("got %d bytes, %v; want %d", n, err, sent())
				}
				second.Close()
				r.hearEnd(first)
				r.end(l)
			})
		}
	})
}

// One tunnel that never pauses does not keep another waiting.
func TestBusyTunnelLeavesTurnToOthers(t *testing.T) {
	everyPath(t, func(t *testing.T, r *rig) {
		var g sync.WaitGroup
		busy := make([]*link, 2)
		for i := range busy {
			l := r.open(Options{}, "", "")
			busy[i] = l
			g.Go(func() { io.CopyBuffer(onlyWriter{l.client}, zeros{}, make([]byte, 256<<10)) })
			g.Go(func() { io.CopyBuffer(io.Discard, onlyReader{l.backend}, make([]byte, 256<<10)) })
		}
		l := r.open(Options{}, "", "")
		for i := range 20 {
			word := fmt.Sprintf("ping %d", i)
			r.say(l.client, word)
			r.hear(l.backend, word)
			r.say(l.backend, word)
			r.hear(l.client, word)
		}
		for _, l := range busy {
			l.tunnel.Close(Drained)
			l.client.tcp.Close()
			l.backend.tcp.Close()
		}
		g.Wait()
	})
}

// Many tunnels, each with its own traffic and its own way to end.
func TestManyTunnels(t *testing.T) {
	n := 2000
	if testing.Short() {
		n = 200
	}
	everyPath(t, func(t *testing.T, r *rig) {
		n := n
		if r.path.tls {
			n /= 8 // handshakes are most of the work
		}
		links := make([]*link, n)
		for i := range links {
			links[i] = r.open(Options{IdleTimeout: time.Hour}, fmt.Sprint("c", i, " "), fmt.Sprint("b", i, " "))
		}
		if got := r.Open(); got != n {
			t.Fatalf("%d are open; want %d", got, n)
		}
		var g sync.WaitGroup
		for w := range 8 {
			g.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(w), 1))
				for i := w; i < n; i += 8 {
					r.hear(links[i].backend, fmt.Sprint("c", i, " "))
					r.hear(links[i].client, fmt.Sprint("b", i, " "))
				}
				for range 3 * n / 8 {
					l := links[rnd.IntN(n/8)*8+w]
					from, to := l.client, l.backend
					if rnd.IntN(2) == 0 {
						from, to = to, from
					}
					word := fmt.Sprint(rnd.Uint64())
					r.say(from, word)
					r.hear(to, word)
				}
				for i := w; i < n; i += 8 {
					l := links[i]
					switch rnd.IntN(4) {
					case 0:
						l.client.Close()
						r.hearEnd(l.backend)
						l.backend.Close()
					case 1:
						l.backend.Close()
						r.hearEnd(l.client)
						l.client.Close()
					case 2:
						l.client.abort()
						r.hearReset(l.backend)
					case 3:
						l.tunnel.Close(Drained)
						r.hearEnd(l.client)
						r.hearEnd(l.backend)
					}
					r.end(l)
				}
			})
		}
		g.Wait()
		if sum := r.Totals(); sum.Open != 0 || sum.Opened != int64(n) || sum.Held != 0 {
			t.Errorf("at the end: %+v", sum)
		}
	})
}

// FuzzChunks: however the streams are cut, what arrives is what was sent. cuts
// is read as a script: the sizes of writes and reads, and how much comes before
// Start.
func FuzzChunks(f *testing.F) {
	f.Add([]byte{0, 0, 1, 200, 3, 255, 90})
	f.Add([]byte{255, 255, 255, 255, 255, 255})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, cuts []byte) {
		if len(cuts) > 64 {
			cuts = cuts[:64]
		}
		for _, p := range paths() {
			r := newRig(t, p)
			r.small = true
			at := func(i int) int {
				if i < len(cuts) {
					return int(cuts[i]) * int(cuts[i]) // up to 64 KiB, small ones too
				}
				return 0
			}
			var words [2][][]byte
			rnd := rand.NewChaCha8([32]byte{byte(len(cuts))})
			for i := range cuts {
				w := make([]byte, at(i))
				rnd.Read(w)
				words[i%2] = append(words[i%2], w)
			}
			var first [2]string
			for s := range first {
				if at(s)%2 == 1 { // else everything comes later
					first[s] = string(words[s][0])
					words[s][0] = nil
				}
			}
			l := r.open(Options{BufferLimit: at(2)}, first[client], first[backend])
			var g sync.WaitGroup
			ends := []peer{l.client, l.backend}
			for s, p := range ends {
				p.SetDeadline(time.Now().Add(patience))
				g.Go(func() {
					for _, w := range words[s] {
						if _, err := p.Write(w); err != nil {
							t.Errorf("sending: %v", err)
						}
					}
					p.CloseWrite()
				})
				g.Go(func() {
					want := []byte(first[1-s] + string(bytes.Join(words[1-s], nil)))
					var got bytes.Buffer
					if _, err := io.CopyBuffer(&got, onlyReader{p}, make([]byte, at(3)+1)); err != nil {
						t.Errorf("receiving: %v", err)
					}
					if !bytes.Equal(got.Bytes(), want) {
						t.Errorf("%s: %d bytes came that are not the %d sent", r.path.name, got.Len(), len(want))
					}
				})
			}
			g.Wait()
			if s := r.end(l); s.Err != nil {
				t.Errorf("ended with %+v", s)
			}
			l.client.tcp.Close()
			l.backend.tcp.Close()
			r.Close(t.Context())
		}
	})
}
