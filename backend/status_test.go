package backend

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSourcesTellOfTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := &fakeDNS{errs: map[string]error{"n": errors.New("SERVFAIL")}}
		list, err := ParseList("a:1,dns://n:1")
		if err != nil {
			t.Fatal(err)
		}
		p, err := NewPool(Defaults(), Deps{Probe: healthy}, list.Sources(DNSConfig{Resolver: dns})...)
		if err != nil {
			t.Fatal(err)
		}
		runIn(t, p)
		want := []SourceStatus{
			{Name: "static", Backends: 1, Updated: time.Now()},
			{Name: "dns://n:1", Error: "SERVFAIL"},
		}
		if got := p.Sources(); !slices.Equal(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	})
}

func TestSnapshotInJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := NewPool(Defaults(), Deps{Probe: healthy, Polling: func(string) int { return 3 }}, NewStatic([]Backend{
			{Addr: "a:1", Zone: "z", Weight: 2}, {ID: "b", Addr: "b:1", TLS: true, Draining: true},
		}))
		if err != nil {
			t.Fatal(err)
		}
		a, _ := p.Set().Get("a:1")
		a.OpenSession()
		a.Report(DialFailed)
		a.Report(DialFailed)
		got, err := json.MarshalIndent(p.Snapshot(), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		want := `[
 {
  "id": "a:1",
  "addr": "a:1",
  "zone": "z",
  "tls": false,
  "weight": 2,
  "state": "up",
  "reason": "not checked yet",
  "since": "2000-01-01T00:00:00Z",
  "starting": true,
  "suspect": true,
  "sessions": 4,
  "tunnels": 1,
  "in_flight": 0,
  "overflows": 0,
  "failed_checks": 0,
  "failed_dials": 2,
  "failed_handshakes": 0,
  "ejections": 0
 },
 {
  "id": "b",
  "addr": "b:1",
  "tls": true,
  "weight": 1,
  "state": "draining",
  "reason": "drained by its source",
  "since": "2000-01-01T00:00:00Z",
  "starting": true,
  "sessions": 3,
  "tunnels": 0,
  "in_flight": 0,
  "overflows": 0,
  "failed_checks": 0,
  "failed_dials": 0,
  "failed_handshakes": 0,
  "ejections": 0
 }
]`
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Error(diff)
		}
	})
}
