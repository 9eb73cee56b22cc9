package affinity

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"
)

func TestMakeKey(t *testing.T) {
	f := func(namespace, id string) {
		t.Helper()
		sum := sha256.Sum256([]byte(namespace + "\x00" + id))
		if got := MakeKey(namespace, []byte(id)); !bytes.Equal(got[:], sum[:16]) {
			t.Errorf("MakeKey(%q, %d bytes) = %v, want %x", namespace, len(id), got, sum[:16])
		}
	}
	f("engine.io", "")
	f("engine.io", "5Q7nV1zq3b0hXwVtAAAB")
	f("signalr", strings.Repeat("x", MaxID))
	f(strings.Repeat("n", maxNamespace), strings.Repeat("x", MaxID))
}

func TestKeysOfNamespacesDiffer(t *testing.T) {
	if MakeKey("a", []byte("bc")) == MakeKey("ab", []byte("c")) {
		t.Error("the border between namespace and id is lost")
	}
}

func TestKeyText(t *testing.T) {
	k := Key{0x01, 0xab, 0xff, 0x10, 0x22}
	if got, want := k.String(), "01abff10220000000000000000000000"; got != want {
		t.Errorf("String() = %s, want %s", got, want)
	}
	if got, want := k.Short(), "01abff10"; got != want {
		t.Errorf("Short() = %s, want %s", got, want)
	}
	if k.IsZero() || !(Key{}).IsZero() {
		t.Error("IsZero is wrong")
	}
}

func TestMakeKeyAllocatesNothing(t *testing.T) {
	id := []byte("5Q7nV1zq3b0hXwVtAAAB")
	if n := testing.AllocsPerRun(100, func() { MakeKey("engine.io", id) }); n != 0 {
		t.Errorf("MakeKey allocates %v times", n)
	}
}

func BenchmarkMakeKey(b *testing.B) {
	id := []byte("5Q7nV1zq3b0hXwVtAAAB")
	b.ReportAllocs()
	for b.Loop() {
		MakeKey("engine.io", id)
	}
}
