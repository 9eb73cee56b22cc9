package gossip

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/memberlist"
	"google.golang.org/protobuf/encoding/protowire"
)

func TestMetadata(t *testing.T) {
	f := func(r record) {
		t.Helper()
		b, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&r, got, cmp.AllowUnexported(record{})); diff != "" {
			t.Errorf("-told +understood:\n%s", diff)
		}
	}
	f(record{role: Proxy})
	f(record{role: Node, Announcement: Announcement{Addr: "[fd00::1]:6020"}})
	f(record{role: Node, leaving: true, Announcement: Announcement{
		ID: "node-1", Addr: "10.0.1.5:6020", Zone: "eu-west-1a", Weight: 1000, Draining: true, Version: "1.2.3+abc", TLS: true,
	}})
}

func TestMetadataHasABound(t *testing.T) {
	r := record{role: Node, Announcement: Announcement{ID: strings.Repeat("i", 255), Addr: strings.Repeat("a", 250) + ":6020"}}
	b, err := r.encode()
	if err == nil || !strings.Contains(err.Error(), "512 is the most") {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// What is not told by us, or by a later version of us.
func TestMetadataOfOthers(t *testing.T) {
	told, err := (&record{role: Node, Announcement: Announcement{Addr: "10.0.1.5:6020", Weight: 2}}).encode()
	if err != nil {
		t.Fatal(err)
	}
	// Fields of a later version: any number, any type.
	later := protowire.AppendTag(told, 99, protowire.BytesType)
	later = protowire.AppendString(later, "something new")
	later = protowire.AppendTag(later, 1000, protowire.Fixed64Type)
	later = protowire.AppendFixed64(later, 7)
	// A known field with a type that is none of it.
	later = protowire.AppendTag(later, fieldZone, protowire.VarintType)
	later = protowire.AppendVarint(later, 7)
	r, err := decode(later)
	if err != nil || r.Addr != "10.0.1.5:6020" || r.Weight != 2 || r.Zone != "" {
		t.Errorf("a later version was understood as %+v, %v", r, err)
	}

	f := func(meta, want string) {
		t.Helper()
		if r, err := decode([]byte(meta)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %+v, %v; want %q", meta, r, err, want)
		}
	}
	f("", "does not announce itself")
	f("role=server", "does not announce itself")
	f("ds\x02"+string(told[3:]), "does not announce itself")
	f(string(told[:len(told)-1]), "field 5")
	f("ds\x01", "its role is not known")
	f("ds\x01\x08\x09", "its role is not known")
	f("ds\x01\x08\x01\x1a\x04host", `address "host" must be host:port`)
	f("ds\x01\x08\x01\x1a\x03a:0", "must have a port")
	f("ds\x01\x08\x01\x22\x02\xff\xfe", "zone")
	f("ds\x01\x08\x01\x22\x03a\nb", "zone")
}

func FuzzDecode(f *testing.F) {
	b, err := (&record{role: Node, Announcement: Announcement{
		ID: "n", Addr: "10.0.1.5:6020", Zone: "z", Weight: 9, Draining: true, Version: "1",
	}}).encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("ds\x01\x08\x01\x22\x03a\nb"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decode(b)
		if err != nil || len(b) > memberlist.MetaMaxSize {
			return
		}
		// What was understood can be told again.
		again, err := r.encode()
		if err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		r2, err := decode(again)
		if err != nil || *r2 != *r {
			t.Fatalf("%+v was told as %+v, %v", r, r2, err)
		}
	})
}
