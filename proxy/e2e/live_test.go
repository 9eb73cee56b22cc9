//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// session is the state of one session of node/clients/live.js, which describes
// the fields.
type session struct {
	Mode        string
	Transport   string
	Backend     string
	Connects    int
	Disconnects []string
	Answers     int
	Wrong       int
}

// live is a client process whose sessions go on while a test breaks things.
type live struct {
	*process
	reports chan []session
}

// startLive opens sessions and returns when all of them are being answered, the
// ones with default transports on WebSocket.
func startLive(t testing.TB, url string, sessions int) *live {
	t.Helper()
	l := &live{reports: make(chan []session, 1)}
	cmd := exec.Command("node", filepath.Join("node", "clients", "live.js"), url, strconv.Itoa(sessions))
	l.process = start(t, "live sessions", cmd, func(line string) bool {
		var report []session
		if json.Unmarshal([]byte(line), &report) != nil {
			return false
		}
		l.reports <- report
		return true
	})
	await(t, startLimit, "all sessions are answered", func() error {
		return l.each(t, func(s session) error {
			if s.Mode == "default" && s.Transport != "websocket" {
				return errors.New("not upgraded yet")
			}
			return s.answered(2)
		})
	})
	return l
}

// report gives the present state of all sessions.
func (l *live) report(t testing.TB) []session {
	t.Helper()
	if _, err := io.WriteString(l.stdin, "\n"); err != nil {
		t.Fatalf("asking %s: %v", l.name, err)
	}
	return waitReady(t, l.process, l.reports)
}

// each returns the first error that f has of a session.
func (l *live) each(t testing.TB, f func(session) error) error {
	t.Helper()
	for i, s := range l.report(t) {
		if err := f(s); err != nil {
			return fmt.Errorf("session %d, %+v: %w", i, s, err)
		}
	}
	return nil
}

// answered says whether the session has had so many answers on its connection.
func (s session) answered(times int) error {
	switch {
	case s.Wrong != 0:
		return errors.New("answered by another backend than its own")
	case s.Transport == "":
		return errors.New("not connected")
	case s.Answers < times:
		return fmt.Errorf("%d answers, %d awaited", s.Answers, times)
	}
	return nil
}

// goOn returns when each session that f chooses has had so many further answers,
// at about ten a second, and fails the test when one of them was disconnected.
func (l *live) goOn(t testing.TB, what string, times int, f func(session) bool) {
	t.Helper()
	before := l.report(t)
	await(t, time.Duration(times)*500*time.Millisecond+30*time.Second, what, func() error {
		for i, now := range l.report(t) {
			was := before[i]
			if !f(was) {
				continue
			}
			if len(now.Disconnects) != len(was.Disconnects) {
				t.Fatalf("%s: session %d was disconnected: %+v", what, i, now)
			}
			if err := now.answered(was.Answers + times); err != nil {
				return fmt.Errorf("session %d, %+v: %w", i, now, err)
			}
		}
		return nil
	})
}

func every(session) bool { return true }
