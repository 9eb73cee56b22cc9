package bus

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func dataOf(number uint64, payloads ...string) []byte {
	data := appendInts(appendSender(nil, kindData, "node", 7), 8, number)
	for _, p := range payloads {
		data = append(binary.AppendUvarint(data, uint64(len(p))), p...)
	}
	return data
}

// FuzzEnvelope: what is accepted can be read to the end and is what it would be
// written as; what is not makes nobody known.
func FuzzEnvelope(f *testing.F) {
	f.Add(dataOf(1<<streamBits+1, "payload", ""))
	f.Add(dataOf(0))
	f.Add(dataOf(maxNumber, string(make([]byte, 300))))
	f.Add(append(appendSender(nil, kindAnnounce, "n", 1), flagHello))
	f.Add(appendInts(append(appendSender(nil, kindAnnounce, "n", 1), flagLeave), 5, 9))
	f.Add(appendInts(append(appendSender(nil, kindAnnounce, "n", 0), 0), 5, 9))
	f.Add([]byte("garbage"))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := newPeers("me", 8, DefaultLease, testLog(t), newOutbox("me", 8, func(string) string { return "" }))
		in.open(&heard{})
		in.hear(data)
		var e envelope
		if e.decode(data) != nil {
			if len(in.peers) > 0 || in.malformed.Load() != 1 {
				t.Error("garbage is a node")
			}
			return
		}
		if len(e.name) == 0 || len(e.name) > maxName || e.from == 0 || e.number > maxNumber {
			t.Errorf("accepted %+v", e)
		}
		written := appendSender(nil, e.kind, string(e.name), e.from)
		if e.kind == kindData {
			written = appendInts(written, e.to, e.number)
			for rest := e.payloads; len(rest) > 0; {
				var p []byte
				var ok bool
				if p, rest, ok = cutBytes(rest, maxPayload); !ok {
					t.Fatal("a payload cannot be read")
				}
				written = append(binary.AppendUvarint(written, uint64(len(p))), p...)
			}
		} else {
			written = append(written, e.flags)
			for rest := e.marks; len(rest) > 0; {
				var to, number uint64
				to, rest, _ = cutIncarnation(rest)
				number, rest, _ = cutNumber(rest)
				written = appendInts(written, to, number)
			}
		}
		var again envelope
		if err := again.decode(written); err != nil || !bytes.Equal(again.name, e.name) || again.number != e.number {
			t.Errorf("written again it is %+v, %v", again, err)
		}
	})
}
