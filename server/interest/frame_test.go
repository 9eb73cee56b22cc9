package interest

import (
	"bytes"
	"slices"
	"testing"
)

func FuzzDecode(f *testing.F) {
	f.Add(appendRequest(nil, 7))
	f.Add(appendBegin(nil, 7, 300))
	f.Add(appendEnd(nil, 1<<63))
	f.Add(appendAck(nil, 0))
	f.Add(change{Records, true, "name"}.delta(7, true))
	f.Add(answer(7, []string{"one", "two"})[1])
	f.Add([]byte("d\x00\x01\x03\x05name"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		one, err := decode(string(payload))
		if err != nil {
			return
		}
		var list []change
		for rest := one.changes; rest != ""; {
			var c change
			if c, rest, err = cutChange(rest); err != nil {
				t.Fatalf("a change of a good frame: %v", err)
			}
			list = append(list, c)
		}
		if one.count != uint64(len(list)) {
			t.Fatalf("%d changes, counted %d", len(list), one.count)
		}
		again, err := decode(string(encode(&one, list)))
		if err != nil || again.kind != one.kind || again.nonce != one.nonce || again.number != one.number ||
			again.ack != one.ack || again.count != one.count {
			t.Fatalf("%+v is read again as %+v, %v", one, again, err)
		}
	})
}

func encode(f *frame, list []change) (b []byte) {
	switch f.kind {
	case frameRequest:
		return appendRequest(nil, f.nonce)
	case frameBegin:
		return appendBegin(nil, f.nonce, f.number)
	case frameEnd:
		return appendEnd(nil, f.number)
	case frameAck:
		return appendAck(nil, f.number)
	case frameChanges:
		b = appendChanges(nil, f.ack, f.number)
	case frameNames:
		b = []byte{frameNames}
	}
	for i := range list {
		b = list[i].append(b)
	}
	return b
}

// FuzzDeliver: whatever another node says, this one goes on, what it wants itself
// stays, and what the other wanted goes with it.
func FuzzDeliver(f *testing.F) {
	join := func(frames ...[]byte) []byte { return bytes.Join(frames, []byte{0xff, 0xff}) }
	f.Add(join(answer(1, []string{"one"})...))
	f.Add(join(appendRequest(nil, 7), change{Records, true, "name"}.delta(1, true), appendAck(nil, 1)))
	f.Fuzz(func(t *testing.T, script []byte) {
		c := newQuiet("a")
		c.Add(Records, "own")
		c.Gap("b")
		c.peers["b"].nonce = 1
		for frame := range bytes.SplitSeq(script, []byte{0xff, 0xff}) {
			c.Deliver("b", frame)
		}
		c.flush(t.Context())
		c.Left("b")
		if got := c.Names(Records); !slices.Equal(got, []string{"own"}) || c.Stats().Sets != 1 {
			t.Fatalf("there are %q", got)
		}
	})
}
