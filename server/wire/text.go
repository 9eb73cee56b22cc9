package wire

import (
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/dsproxy/dsproxy/server/message"
)

// The marks of the text protocols.
const (
	unitSep   = '\x1f' // between the parts of a message
	recordSep = '\x1e' // after each message
)

// text is the protocol of deepstream 1 to 3: parts joined by 0x1F, each message
// ended by 0x1E, any number of messages in one frame.
type text struct {
	dialect *dialect
}

func newText(d *dialect) text { return text{d} }

func (t text) Traits() *Traits { return &t.dialect.traits }

// minPiece is the length below which a piece between two end marks is dropped
// without a word, as the original does.
const minPiece = 3

// maxParts is more than any message of a client has.
const maxParts = 8

func (t text) Decode(frame []byte, to Sink) error {
	if !utf8.Valid(frame) {
		return ErrUTF8
	}
	s := scratches.Get().(*textScratch)
	err := t.decode(string(frame), s, to)
	*s = textScratch{}
	scratches.Put(s)
	return err
}

type textScratch struct {
	m     message.Message
	parts [maxParts]string
}

var scratches = sync.Pool{New: func() any { return new(textScratch) }}

func (t text) decode(rest string, s *textScratch, to Sink) error {
	for rest != "" {
		var piece string
		piece, rest, _ = strings.Cut(rest, string(recordSep))
		if len(piece) < minPiece {
			continue
		}
		s.m = message.Message{Raw: piece}
		if reply := t.read(piece, s); reply != nil {
			if err := to.Malformed(reply); err != nil {
				return err
			}
			continue
		}
		if err := to.Message(&s.m); err != nil {
			return err
		}
	}
	return nil
}

// read fills s.m from one message, or returns the answer to its garbage.
func (t text) read(piece string, s *textScratch) *message.Message {
	parts := split(piece, s)
	if len(parts) < 2 {
		return parserError(message.ParserMessageParseError, piece)
	}
	row, ok := t.dialect.in[piece[:len(parts[0])+1+len(parts[1])]]
	if !ok {
		if _, known := topicsOfText[parts[0]]; !known && t.dialect.actions[parts[1]] {
			return parserError(message.ParserUnknownTopic, parts[0])
		}
		return parserError(message.ParserMessageParseError, piece)
	}
	m := &s.m
	m.Topic, m.Action = row.topic, row.action
	if row.read(m, parts[2:]) {
		return nil
	}
	if m.Topic == message.Record && m.Action == message.RecordInvalidVersion {
		return &message.Message{Topic: m.Topic, Action: m.Action, Name: m.Name, Raw: piece, IsError: true}
	}
	if parts := parts[2:]; len(parts) > 0 && len(parts) < 3 && (row.action == message.RecordUpdate || row.action == message.RecordPatch) {
		piece = parts[0] // too short to be a write: the name is quoted, not the message
	}
	return &message.Message{Topic: row.topic, Action: InvalidData(row.topic), Raw: piece, IsError: true}
}

func split(piece string, s *textScratch) []string {
	n := 0
	for n < maxParts-1 {
		i := strings.IndexByte(piece, unitSep)
		if i < 0 {
			break
		}
		s.parts[n] = piece[:i]
		piece = piece[i+1:]
		n++
	}
	s.parts[n] = piece
	return s.parts[:n+1]
}

func parserError(a message.Action, raw string) *message.Message {
	return &message.Message{Topic: message.Parser, Action: a, Raw: raw, IsError: true}
}

// InvalidData is the action by which a topic calls data invalid; topics that
// have none use the parser's.
func InvalidData(t message.Topic) message.Action {
	switch t {
	case message.Auth:
		return message.AuthInvalidMessageData
	case message.Event:
		return message.EventInvalidMessageData
	case message.Record:
		return message.RecordInvalidMessageData
	case message.RPC:
		return message.RPCInvalidMessageData
	case message.Presence:
		return message.PresenceInvalidPresenceUsers
	}
	return message.ParserInvalidMessage
}

func (t text) Append(dst []byte, m *message.Message) []byte {
	w := writer{dst: dst, d: t.dialect}
	switch m.Topic {
	case message.Parser:
		w.parser(m)
	case message.Connection:
		w.connection(m)
	case message.Auth:
		w.auth(m)
	case message.Event:
		w.event(m)
	case message.Record:
		w.record(m)
	case message.RPC:
		w.rpc(m)
	case message.Presence:
		w.presence(m)
	}
	return w.dst
}

// parseVersion reads a record version as JavaScript's parseInt would accept it
// from a well-behaved client.
func parseVersion(s string) (int64, bool) {
	v, err := strconv.ParseInt(s, 10, 53)
	return v, err == nil
}
