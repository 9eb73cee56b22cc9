package record

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/dsproxy/dsproxy/server/interest"
	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/store"
)

// anyVersion is the version of a write that does not care.
const anyVersion = -1

// maxTries bounds how often a write of any version is tried against other nodes.
const maxTries = 100

var (
	errData    = errors.New("data is not valid for this write")
	errTooBig  = errors.New("record would be too big")
	errTooBusy = errors.New("too many other writers")
)

// write carries out an update, patch, erase or upsert.
func (h *Handler) write(s *session.Session, m *message.Message) {
	h.astray.writes(s, m.Name)
	upsert := m.Action == message.RecordCreateAndUpdate || m.Action == message.RecordCreateAndPatch
	if upsert && h.hot(m.Name) {
		h.writeHot(s, m)
		return
	}
	current, err := h.store.Get(h.ctx, m.Name)
	if err != nil {
		h.failWrite(s, m, err)
		return
	}
	for range maxTries {
		if !current.Exists() && !upsert {
			h.noRecord(s, m)
			return
		}
		version := max(current.Version, 0) + 1
		if m.Version != anyVersion && m.Version != version {
			kept := *m
			h.afterwards(m.Name, current.Version, func() { h.conflict(s, &kept, current) })
			return
		}
		data, err := h.apply(current, m)
		if err != nil {
			h.refuse(s, m, message.RecordInvalidMessageData, carriedOut(m))
			return
		}
		next := store.Record{Version: version, Data: data}
		now, ok, err := h.store.Write(h.ctx, m.Name, current.Version, next, h.stored(s, m))
		if err != nil {
			h.failWrite(s, m, err)
			return
		}
		if ok {
			h.broadcast(s, m, current, next)
			return
		}
		current = now
	}
	h.failWrite(s, m, errTooBusy)
}

// failWrite tells a client that its write failed. It may have been carried out all the
// same, where the answer alone is missing.
func (h *Handler) failWrite(s *session.Session, m *message.Message, err error) {
	h.fail(s, m, message.RecordUpdateError, err)
	if !store.Lasting(err) {
		h.astray.add(s, m.Name, 0)
		h.checker.later(strings.Clone(m.Name))
	}
}

// apply returns the data of a record after a write.
func (h *Handler) apply(current store.Record, m *message.Message) (string, error) {
	base := current.Data
	if !current.Exists() {
		base = emptyObject
	}
	var data string
	var err error
	switch m.Action {
	case message.RecordUpdate, message.RecordCreateAndUpdate:
		if m.Path != "" {
			data, err = setPath(base, m.Path, m.Data)
			break
		}
		data = strings.TrimLeft(m.Data, " \t\r\n")
		if data == "" || (data[0] != '{' && data[0] != '[') {
			return "", errData
		}
		data = strings.Clone(data)
	case message.RecordErase:
		data, err = setPath(base, m.Path, "")
	case message.RecordPatchMulti:
		data, err = applyAll(base, m.Data)
	default:
		data, err = setPath(base, m.Path, m.Data)
	}
	if err == nil && h.options.MaxSize > 0 && len(data) > h.options.MaxSize {
		err = errTooBig
	}
	return data, err
}

// applyAll applies the patches of a PATCH_MULTI in order, or none.
func applyAll(data, patches string) (string, error) {
	var list []struct {
		Path string          `json:"path"`
		Data json.RawMessage `json:"data"`
	}
	if json.Unmarshal([]byte(patches), &list) != nil || len(list) == 0 {
		return "", errData
	}
	for _, p := range list {
		var err error
		if data, err = setPath(data, p.Path, string(p.Data)); err != nil {
			return "", err
		}
	}
	return data, nil
}

// stored returns what is to be done when cache and storage have a write. A client
// that asked for no acknowledgement hears of failures only.
func (h *Handler) stored(s *session.Session, m *message.Message) func(error) {
	if !m.IsWriteAck {
		if h.store.Immediate() {
			return nil
		}
		name, action, version := strings.Clone(m.Name), m.Action, m.Version
		return func(err error) {
			if err != nil {
				h.fail(s, &message.Message{Action: action, Name: name, Version: version}, message.RecordUpdateError, err)
			}
		}
	}
	ack := message.Message{Topic: message.Record, Action: message.RecordWriteAcknowledgement, Name: m.Name,
		CorrelationID: m.CorrelationID, IsWriteAck: true, HasWriteAck: true,
		Version: m.Version} // text clients look for the version that they sent
	if h.store.Immediate() {
		return func(error) { s.Send(&ack) }
	}
	ack.Name, ack.CorrelationID = strings.Clone(m.Name), strings.Clone(m.CorrelationID)
	return func(err error) {
		if err == nil {
			s.Send(&ack)
			return
		}
		h.failures.note("write", err)
		ack.Action, ack.IsError = message.RecordUpdateError, true
		ack.Data = `"Error writing to storage"`
		s.Send(&ack)
	}
}

// broadcast sends a write to the other subscribers, and to all of them where the
// writer is not one.
func (h *Handler) broadcast(s *session.Session, m *message.Message, before, r store.Record) {
	out := message.Message{Topic: message.Record, Action: message.RecordUpdate, Name: m.Name,
		Version: r.Version, HasVersion: true, Data: m.Data, Path: m.Path, HasWriteAck: true, Sum: r.Sum()}
	switch {
	case m.Action == message.RecordPatchMulti:
		out.Action, out.Full = m.Action, r.Data
	case m.Action == message.RecordErase:
		out.Action, out.Data = message.RecordPatch, ""
	case m.Path != "":
		out.Action = message.RecordPatch
	}
	if out.Action != message.RecordUpdate {
		out.Base = before.Sum()
	}
	h.cluster.Publish(interest.Records, m.Name, &out)
	if h.isHot(m.Name, r.Version) {
		h.hub.Publish(m.Name, &out, s)
		return
	}
	if last, wanted := h.versions.told(m.Name); wanted && last != unknown && r.Version <= last {
		// The store was emptied; versions begin anew.
		out = *whole(m.Name, r)
		h.versions.tell(m.Name, r.Version-1, 0)
	}
	h.inTurn(m.Name, r.Version, update{&out, s})
}

// writeHot writes without reading; version 0 marks such records.
func (h *Handler) writeHot(s *session.Session, m *message.Message) {
	if m.Path != "" || m.Action == message.RecordCreateAndPatch {
		h.refuse(s, m, message.RecordInvalidPatchOnHotpath, m.Action)
		return
	}
	data, err := h.apply(store.Record{Version: store.Missing}, m)
	if err != nil {
		h.refuse(s, m, message.RecordInvalidMessageData, carriedOut(m))
		return
	}
	r := store.Record{Version: 0, Data: data}
	if err := h.store.Force(h.ctx, m.Name, r, h.stored(s, m)); err != nil {
		h.failWrite(s, m, err)
		return
	}
	h.broadcast(s, m, store.Record{Version: store.Missing}, r)
}

// noRecord refuses a write to a record that does not exist. The text protocol of
// deepstream 1 names the version in place of the record.
func (h *Handler) noRecord(s *session.Session, m *message.Message) {
	out := message.Message{Topic: message.Record, Action: message.RecordUpdateError, Name: m.Name, IsError: true,
		Version: m.Version, CorrelationID: m.CorrelationID}
	if m.IsWriteAck {
		out.IsWriteAck, out.HasWriteAck = true, true
		out.Data = `"record does not exist"`
	}
	s.Send(&out)
}

// conflict refuses a write of a version that is not the next one. Text clients
// hear VERSION_EXISTS also when theirs is too high. Client 7, whose writes failed and
// left it with a version that is, would never come back to the record's by
// INVALID_VERSION alone, and takes one that is no error for an acknowledgement: so it
// is sent the record as well.
func (h *Handler) conflict(s *session.Session, m *message.Message, current store.Record) {
	subscribed := current.Exists() && h.hub.Subscribed(s, m.Name)
	if !current.Exists() { // to an upsert it is as one that was made just now
		current = store.Record{Version: 0, Data: emptyObject}
	}
	out := message.Message{Topic: message.Record, Action: message.RecordVersionExists, OriginalAction: carriedOut(m),
		Name: m.Name, Version: current.Version, HasVersion: true, Data: current.Data,
		CorrelationID: m.CorrelationID, IsWriteAck: m.IsWriteAck, HasWriteAck: m.HasWriteAck}
	if m.Version > current.Version && !s.PerName() {
		out.Action, out.Data, out.IsError = message.RecordInvalidVersion, m.Data, m.IsWriteAck
		if subscribed {
			s.Send(whole(m.Name, current))
		}
	}
	s.Send(&out)
}

// carriedOut is what the node does to carry out a write; the original names that in
// most of its answers, not what the client asked for.
func carriedOut(m *message.Message) message.Action {
	switch m.Action {
	case message.RecordErase, message.RecordCreateAndPatch:
		return message.RecordPatch
	case message.RecordCreateAndUpdate:
		if m.Path != "" {
			return message.RecordPatch
		}
		return message.RecordUpdate
	}
	return m.Action
}

// refuse answers a write that can never be done. Text clients know an answer to a
// write that they want acknowledged by its version alone, and of the others they have
// one word for all that is wrong.
func (h *Handler) refuse(s *session.Session, m *message.Message, why, original message.Action) {
	out := message.Message{Topic: message.Record, Action: why, OriginalAction: original,
		Name: m.Name, CorrelationID: m.CorrelationID, IsWriteAck: m.IsWriteAck, HasWriteAck: m.IsWriteAck,
		IsError: true, Raw: m.Raw}
	if why == message.RecordInvalidMessageData {
		out.Data = m.Data
	}
	switch {
	case s.PerName() && m.IsWriteAck:
		out.Action, out.Version = message.RecordUpdateError, m.Version
		out.Data = `"` + message.ActionName(message.Record, why) + `"`
	case s.PerName():
		out.Action = message.RecordInvalidMessageData
	}
	s.Send(&out)
}

func (h *Handler) delete(s *session.Session, m *message.Message) {
	if err := h.store.Delete(h.ctx, m.Name); err != nil {
		h.fail(s, m, message.RecordDeleteError, err)
		if !s.PerName() { // client 7 passes over that one, and its application waits
			s.Send(&message.Message{Topic: message.Record, Action: message.RecordUpdateError, OriginalAction: m.Action,
				Name: m.Name, IsError: true})
		}
		return
	}
	s.Send(&message.Message{Topic: message.Record, Action: message.RecordDeleteSuccess, Name: m.Name,
		CorrelationID: m.CorrelationID})
	h.cluster.Publish(interest.Records, m.Name, &message.Message{Topic: message.Record, Action: message.RecordDeleted, Name: m.Name})
	h.dropHere(m.Name, s)
}

// dropHere tells the subscribers of a record on this node that it is gone, and
// ends their subscriptions: who wants it again has to say so.
func (h *Handler) dropHere(name string, except *session.Session) {
	h.hub.Publish(name, &message.Message{Topic: message.Record, Action: message.RecordDeleted, Name: name}, except)
	if h.hub.RemoveName(name) {
		h.listen.Unwanted(name)
	}
}
