package proxy

import (
	"log/slog"
	"sync"
	"time"
)

// refusalLog writes a limit that is hit once a second at most, with how often it
// was hit since: under attack the log must not become the second problem.
type refusalLog struct {
	mu   sync.Mutex
	last map[string]*limitHits // guarded by mu; one a limit name
}

type limitHits struct {
	at         time.Time
	suppressed int
}

func (l *refusalLog) warn(log *slog.Logger, msg, limit string, args ...any) {
	l.mu.Lock()
	if l.last == nil {
		l.last = map[string]*limitHits{}
	}
	h := l.last[limit]
	if h == nil {
		h = &limitHits{}
		l.last[limit] = h
	}
	now := time.Now()
	if now.Sub(h.at) < time.Second {
		h.suppressed++
		l.mu.Unlock()
		return
	}
	suppressed := h.suppressed
	h.at, h.suppressed = now, 0
	l.mu.Unlock()
	log.Warn(msg, append([]any{"cause", limit, "suppressed", suppressed}, args...)...)
}
