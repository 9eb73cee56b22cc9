package gossip

import (
	"log"
	"log/slog"
	"strings"
	"testing"
)

func TestLogOfMemberlist(t *testing.T) {
	var out strings.Builder
	l := newLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})))
	f := func(line, want string) {
		t.Helper()
		out.Reset()
		log.New(l, "", 0).Print(line)
		if out.String() != want+"\n" {
			t.Errorf("%q was logged as %s, want %s", line, &out, want)
		}
	}
	f("[DEBUG] memberlist: Stream connection from=1.2.3.4:5", `level=DEBUG msg=memberlist says="Stream connection from=1.2.3.4:5"`)
	f("[INFO] memberlist: Suspect b has failed, no acks received", `level=INFO msg=memberlist says="Suspect b has failed, no acks received"`)
	f("[ERR] memberlist: Failed to send UDP ping: x", `level=WARN msg=memberlist says="Failed to send UDP ping: x"`)
	f("[ERR] memberlist: Failed to send UDP ping: y", `level=DEBUG msg=memberlist says="Failed to send UDP ping: y"`)
	f("Err: Could not set the deadline: z", `level=WARN msg=memberlist says="Err: Could not set the deadline: z"`)
	f("[NOISE] x", `level=WARN msg=memberlist says="[NOISE] x"`)
}
