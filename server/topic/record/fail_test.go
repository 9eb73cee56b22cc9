package record

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsproxy/dsproxy/server/store"
)

// TestFailuresAreLoggedNowAndThen: neither a store that is away nor a client that asks
// for what is reserved fills the log.
func TestFailuresAreLoggedNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		f := failures{log: slog.New(slog.NewTextHandler(&out, nil))}
		for range 2 {
			for range 100 {
				f.note("READ", errors.New("gone"))
				f.note("READ", fmt.Errorf("record %q: %w", "dsproxy:x", store.ErrName))
			}
			out.WriteByte('|')
			time.Sleep(failuresPeriod) // by the test's own clock
		}
		first, second, _ := strings.Cut(strings.TrimSuffix(out.String(), "|"), "|")
		for _, lines := range []struct{ got, want string }{{first, "others_before=0\n"}, {second, "others_before=99\n"}} {
			if strings.Count(lines.got, "\n") != 1 || !strings.HasSuffix(lines.got, lines.want) {
				t.Errorf("logged %q, want one line with %q", lines.got, lines.want)
			}
		}
	})
}
