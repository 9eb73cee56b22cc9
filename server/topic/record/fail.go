package record

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/store"
)

// failures logs that the store fails, now and then: it does so for everything that is
// asked of it while it is away.
type failures struct {
	log *slog.Logger

	mu   sync.Mutex
	next time.Time // guarded by mu: when the next one is logged
	more int       // guarded by mu: that were not since the last one
}

// failuresPeriod is the time from one that is logged to the next.
const failuresPeriod = 10 * time.Second

func (f *failures) note(action string, err error) {
	if errors.Is(err, store.ErrName) { // clients may ask for any name
		f.log.Debug("record store refuses a name", "action", action, "err", err)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if now.Before(f.next) {
		f.more++
		return
	}
	f.log.Error("record store failed", "action", action, "err", err, "others_before", f.more)
	f.next, f.more = now.Add(failuresPeriod), 0
}

// fail tells a client that the store did not answer.
func (h *Handler) fail(s *session.Session, m *message.Message, fallback message.Action, err error) {
	action := fallback
	var tier *store.TierError
	// A client takes the answer to a write that it wants acknowledged by this flag,
	// and client 7 leaves it without one when a time-out is named. Of a deletion the
	// original never names one.
	if errors.As(err, &tier) && tier.Timeout() && !m.IsWriteAck && m.Action != message.RecordDelete {
		action = message.RecordCacheRetrievalTimeout
		if tier.Storage {
			action = message.RecordStorageRetrievalTimeout
		}
	}
	h.failures.note(message.ActionName(message.Record, m.Action), err)
	if s == nil {
		return // another node's word; nobody waits for an answer
	}
	out := message.Message{Topic: message.Record, Action: action, OriginalAction: m.Action, Name: m.Name,
		CorrelationID: m.CorrelationID, IsError: true, IsWriteAck: m.IsWriteAck, HasWriteAck: m.IsWriteAck, Raw: m.Raw}
	if action == message.RecordUpdateError {
		out.Version = m.Version // text clients look for the version that they sent
	}
	if m.IsWriteAck {
		out.Data = `"Error reading or writing the record"`
	}
	s.Send(&out)
}
