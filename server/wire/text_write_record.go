package wire

import "github.com/dsproxy/dsproxy/server/message"

const writeConfig = `{"writeSuccess":true}`

func (w *writer) record(m *message.Message) {
	switch m.Action {
	case message.RecordSubscribeCreateAndRead, message.RecordSubscribe:
		w.acks("R", "S", m)
	case message.RecordUnsubscribe:
		w.acks("R", "US", m)
	case message.RecordListen:
		w.acks("R", "L", m)
	case message.RecordUnlisten:
		w.acks("R", "UL", m)
	case message.RecordDeleteSuccess, message.RecordDeleted:
		w.put("R", "A", "D", m.Name)
	case message.RecordReadResponse:
		w.put("R", "R", m.Name, number(m.Version), m.Data)
	case message.RecordHeadResponse:
		if m.Version < 0 {
			w.put("R", "E", "HD", m.Name, "RECORD_NOT_FOUND")
		} else {
			w.put("R", "HD", m.Name, number(m.Version))
		}
	case message.RecordHas:
		answer := "F"
		if m.Data == "true" {
			answer = "T"
		}
		w.put("R", "H", m.Name, answer)
	case message.RecordUpdate:
		w.put("R", "U", m.Name, number(m.Version), m.Data)
	case message.RecordPatchMulti:
		w.put("R", "U", m.Name, number(m.Version), m.Full)
	case message.RecordPatch, message.RecordErase:
		w.putTyped(m.Data, "R", "P", m.Name, number(m.Version), m.Path)
	case message.RecordSubscriptionForPatternFound:
		w.put("R", "SP", m.Name, m.Subscription)
	case message.RecordSubscriptionForPatternRemoved:
		w.put("R", "SR", m.Name, m.Subscription)
	case message.RecordSubscriptionHasProvider:
		w.put("R", "SH", m.Name, "T")
	case message.RecordSubscriptionHasNoProvider:
		w.put("R", "SH", m.Name, "F")
	case message.RecordWriteAcknowledgement:
		if w.d.later {
			w.put("R", "WA", m.Name, "["+number(m.Version)+"]", "L")
		}
	default:
		w.recordFailure(m)
	}
}

func (w *writer) recordFailure(m *message.Message) {
	name := message.ActionName(message.Record, m.Action)
	switch m.Action {
	case message.RecordVersionExists:
		parts := []string{"R", "E", name, m.Name, number(m.Version), m.Data}
		if m.IsWriteAck {
			parts = append(parts, writeConfig)
		}
		w.put(parts...)
	case message.RecordInvalidVersion:
		w.put("R", "E", name, m.Name, "NaN")
	case message.RecordNotFound:
		w.put("R", "E", words[message.Record][m.OriginalAction], m.Name, name)
	case message.RecordUpdateError:
		switch {
		case m.IsWriteAck && w.d.later:
			w.putTyped(m.Data, "R", "WA", m.Name, "["+number(m.Version)+"]")
		case w.d.later:
			w.put("R", "E", name, m.Name)
		default:
			w.put("R", "E", name, number(m.Version))
		}
	case message.RecordCacheRetrievalTimeout, message.RecordStorageRetrievalTimeout, message.RecordLoadError,
		message.RecordCreateError, message.RecordDeleteError:
		w.put("R", "E", name, m.Name)
	default:
		w.failure("R", m)
	}
}
