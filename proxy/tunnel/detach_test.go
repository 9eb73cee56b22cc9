package tunnel

import (
	"errors"
	"io"
	"testing"
)

func TestDetach(t *testing.T) {
	everyPath(t, func(t *testing.T, r *rig) {
		r.small = true
		l := r.open(Options{}, "", "")
		h, err := l.tunnel.Detach()
		if r.path.tls {
			if !errors.Is(err, errors.ErrUnsupported) {
				t.Fatalf("got %v", err)
			}
			r.say(l.client, "goes on")
			r.hear(l.backend, "goes on")
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if s := r.end(l); s.Reason != Detached {
			t.Errorf("ended with %v", s.Reason)
		}
		l.tunnel.Close(Drained) // too late to touch the connections
		if _, err := l.tunnel.Detach(); !errors.Is(err, ErrClosed) {
			t.Errorf("detached twice: %v", err)
		}
		for _, successor := range paths() {
			if successor.tls {
				continue
			}
			next := newRig(t, successor)
			l.tunnel, err = next.Start(h.Client, h.Backend, h.FromClient, h.FromBackend, Options{},
				func(s Stats) { l.ended <- s })
			if err != nil {
				t.Fatal(err)
			}
			r.say(l.client, successor.name)
			r.hear(l.backend, successor.name)
			if h, err = l.tunnel.Detach(); err != nil {
				t.Fatal(err)
			}
			next.end(l)
		}
		h.Client.Close()
		h.Backend.Close()
	})
}

func TestDetachWithHeldBytes(t *testing.T) {
	everyPath(t, func(t *testing.T, r *rig) {
		if r.path.tls {
			t.Skip("TLS is not detached")
		}
		r.small = true
		l := r.open(Options{}, "", "")
		toBackend, toClient := r.stuff(l.client), r.stuff(l.backend)
		go func() { toBackend(); l.client.CloseWrite() }()
		h, err := l.tunnel.Detach()
		if err != nil {
			t.Fatal(err)
		}
		if len(h.FromClient) == 0 || len(h.FromBackend) == 0 {
			t.Fatalf("%d and %d bytes handed over; want some", len(h.FromClient), len(h.FromBackend))
		}
		r.end(l)
		next := newRig(t, r.path)
		if _, err := next.Start(h.Client, h.Backend, h.FromClient, h.FromBackend, Options{},
			func(s Stats) { l.ended <- s }); err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, l.backend); n != toBackend() || err != nil {
			t.Errorf("the backend got %d bytes, %v; want %d", n, err, toBackend())
		}
		go func() { toClient(); l.backend.CloseWrite() }()
		if n, err := io.Copy(io.Discard, l.client); n != toClient() || err != nil {
			t.Errorf("the client got %d bytes, %v; want %d", n, err, toClient())
		}
		if s := next.end(l); s.Reason != ClientClosed {
			t.Errorf("ended with %v, %v", s.Reason, s.Err)
		}
	})
}
