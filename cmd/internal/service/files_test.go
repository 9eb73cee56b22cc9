package service

import (
	"log/slog"
	"strings"
	"testing"
)

func TestWarnOfFiles(t *testing.T) {
	f := func(may uint64, clients, each int, want string) {
		t.Helper()
		var b strings.Builder
		warnOfFiles(slog.New(slog.NewTextHandler(&b, nil)), may, clients, each)
		if got := b.String(); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%d files for %d clients of %d: %q, want %q", may, clients, each, got, want)
		}
	}
	f(1024, 200_000, 2, "files=1024 limit=200000 room=412")
	f(400_199, 200_000, 2, "room=199999")
	f(400_200, 200_000, 2, "")
	f(65_535, 30_000, 2, "")
	f(100, 250_000, 1, "room=0")
	f(1<<63, 250_000, 1, "")
}
