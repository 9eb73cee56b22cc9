package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// pair is the two ends of a connection.
func pair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	a, b = Quick(a), Quick(b)
	t.Cleanup(func() { _ = a.Close(); _ = b.Close() })
	return a, b
}

// TestConn: more than the socket takes at once arrives as it was sent, and the end behind
// it.
func TestConn(t *testing.T) {
	a, b := pair(t)
	if _, ok := a.(*Conn); !ok {
		t.Fatalf("it is a %T", a)
	}
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	var writing sync.WaitGroup
	writing.Go(func() {
		if n, err := a.Write(sent); n != len(sent) || err != nil {
			t.Errorf("wrote %d of %d bytes: %v", n, len(sent), err)
		}
		_ = a.Close()
	})
	got, err := io.ReadAll(b)
	writing.Wait()
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("read %d of %d bytes, or others: %v", len(got), len(sent), err)
	}
	if n, err := b.Read(nil); n != 0 || err != nil {
		t.Errorf("reading nothing: %d, %v", n, err)
	}
}

// TestConnDeadline: who waits is told that the time is up, in a way that others
// recognise, and may go on.
func TestConnDeadline(t *testing.T) {
	a, b := pair(t)
	_ = a.SetReadDeadline(time.Now())
	_, err := a.Read(make([]byte, 1))
	var timeout net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("read: %v", err)
	}
	_ = a.SetDeadline(time.Time{})
	if _, err := b.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := a.Read(make([]byte, 2)); n != 1 || err != nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
	_ = a.SetWriteDeadline(time.Now().Add(-time.Second))
	if _, err := a.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write: %v", err)
	}
}

// TestConnClosed: a connection that is closed here or reset there says so.
func TestConnClosed(t *testing.T) {
	_, b := pair(t)
	var reading sync.WaitGroup
	reading.Go(func() {
		if _, err := b.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read: %v", err)
		}
	})
	_ = b.Close()
	reading.Wait()
	if _, err := b.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write: %v", err)
	}
	a, other := pair(t)
	_ = other.(*Conn).SetLinger(0)
	_ = other.Close()
	if _, err := a.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read: %v", err)
	}
	if _, err := a.Write([]byte("x")); err == nil {
		t.Error("a write to nobody succeeds")
	}
}

// TestQuick: what is not TCP stays as it is.
func TestQuick(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if got := Quick(a); got != a {
		t.Errorf("a pipe became %T", got)
	}
}
