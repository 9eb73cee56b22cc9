package gossip

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// logger takes memberlist's log, which is lines of text, into slog. One kind of
// trouble is told once in limitFor and then at level debug: memberlist tells it
// with each packet.
type logger struct {
	slog *slog.Logger

	mu   sync.Mutex // guards told
	told map[string]time.Time
}

const (
	limitFor = time.Minute
	maxTold  = 256 // kinds of trouble that are remembered
)

func newLogger(log *slog.Logger) *logger {
	return &logger{slog: log, told: map[string]time.Time{}}
}

// Levels of memberlist's lines. What it calls an error is a peer that does not
// answer or does not belong here.
var levels = map[string]slog.Level{
	"DEBUG": slog.LevelDebug, "INFO": slog.LevelInfo, "WARN": slog.LevelWarn, "ERR": slog.LevelWarn, "ERROR": slog.LevelError,
}

// Write takes one line.
func (l *logger) Write(b []byte) (int, error) {
	level, text := slog.LevelWarn, strings.TrimSpace(string(b))
	if rest, ok := strings.CutPrefix(text, "["); ok {
		if name, after, ok := strings.Cut(rest, "] "); ok {
			if known, ok := levels[name]; ok {
				level, text = known, after
			}
		}
	}
	text = strings.TrimPrefix(text, "memberlist: ")
	if level < slog.LevelWarn {
		l.slog.Log(context.Background(), level, "memberlist", "says", text)
		return len(b), nil
	}
	if why := meaning(text); why != "" {
		l.limited(why, "says", text)
		return len(b), nil
	}
	l.at(level, kind(text), "memberlist", "says", text)
	return len(b), nil
}

// meaning puts into words for an operator what only settings can cause; "" for
// other trouble.
func meaning(text string) string {
	low := strings.ToLower(text)
	has := func(part string) bool { return strings.Contains(low, part) }
	switch {
	case has("unacceptable label"):
		return "gossip of another cluster is not heard; members of one cluster need the same --cluster"
	case has("remote error: ") && (has("decrypt") || has("encrypt")), has("could decrypt the message"),
		has("state is encrypted and"), has("state is not encrypted"), has("unsupported encryption version"),
		has("decrypt packet failed"), has("payload is too small to decrypt"):
		return "gossip with another key is not heard; all members need the same --gossip-key"
	}
	return ""
}

// kind is what lines of one cause have in common: their first words.
func kind(text string) string {
	words := strings.Fields(text)
	return strings.Join(words[:min(len(words), 5)], " ")
}

// limited warns of something, once in a while.
func (l *logger) limited(text string, args ...any) { l.at(slog.LevelWarn, text, text, args...) }

func (l *logger) at(level slog.Level, kind, text string, args ...any) {
	now := time.Now()
	l.mu.Lock()
	if last, ok := l.told[kind]; ok && now.Sub(last) < limitFor {
		level = slog.LevelDebug
	} else {
		if len(l.told) >= maxTold {
			clear(l.told)
		}
		l.told[kind] = now
	}
	l.mu.Unlock()
	l.slog.Log(context.Background(), level, text, args...)
}

// member logs what became of a member.
func (l *logger) member(what string, m *Member) {
	level := slog.LevelInfo
	if m.State == Dead {
		level = slog.LevelWarn
	}
	l.slog.Log(context.Background(), level, what, "member", m.Name, "role", string(m.Role), "addr", m.Addr)
}
