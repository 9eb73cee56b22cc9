package server

import (
	"strings"
	"testing"
	"time"
)

// TestSubscribeOrder: what a client sends of one record back to back is carried out in
// that order, while a read of the record takes its time.
func TestSubscribeOrder(t *testing.T) {
	const (
		read  = "a> RECORD SUBSCRIBECREATEANDREAD names=r corr=1"
		plain = "a> RECORD SUBSCRIBE names=r corr=2"
		head  = "a> RECORD SUBSCRIBEANDHEAD names=r corr=3"
		none  = "a> RECORD UNSUBSCRIBE names=r corr=4"
	)
	for _, test := range []struct {
		name  string
		lines []string
		hears bool // of a write that follows
	}{
		{"read, none", []string{read, none}, false},
		{"read, none, read", []string{read, none, read}, true},
		{"read, none, plain", []string{read, none, plain}, true},
		{"read, none, head", []string{read, none, head}, true},
		{"read, none, plain, none", []string{read, none, plain, none}, false},
		{"read, none, head, none", []string{read, none, head, none}, false},
		{"head, none", []string{head, none}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			withDisk(t, nil, func(d *dialogue, storage *disk) {
				d.connect(d.nodes[0], "b", "protobuf")
				d.login("b", "bo")
				storage.behind = time.Second
				heard := talk(t, d, test.lines...)
				time.Sleep(10 * time.Second)
				heard += "\n" + talk(t, d)
				for _, line := range test.lines {
					_, corr, _ := strings.Cut(line, "corr=")
					if !strings.Contains(heard, " corr="+corr+" ack") {
						t.Errorf("no acknowledgement of %q in\n%s", line, heard)
					}
				}
				if strings.Contains(heard, "error") || strings.Contains(heard, "MULTIPLE") {
					t.Errorf("refused:\n%s", heard)
				}
				heard = talk(t, d, `b> RECORD CREATEANDUPDATE name=r version=-1 data={"b":1}`)
				time.Sleep(10 * time.Second)
				if heard += talk(t, d); strings.Contains(heard, "a< RECORD UPDATE name=r") != test.hears {
					t.Errorf("of a write it heard %q, want to hear: %v", heard, test.hears)
				}
				storage.behind = 0
			})
		})
	}
}
