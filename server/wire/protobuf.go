package wire

import (
	"errors"
	"sync"
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/dsproxy/dsproxy/server/message"
)

// protobuf is the protocol of deepstream 4 to 10: a frame is a varint length and
// Message{topic = 2, message = 3}, where the inner message depends on the topic.
// The JavaScript clients tell an absent field from a zero, hence the Has flags.
type protobuf struct {
	traits *Traits
}

var (
	protobufTraits    = Traits{ID: Protobuf, Name: "protobuf", Binary: true, Heartbeat: true}
	oldProtobufTraits = Traits{ID: OldProtobuf, Name: "protobuf-7.0", Binary: true, Heartbeat: true}
)

func (p protobuf) Traits() *Traits { return p.traits }

var errMalformed = errors.New("malformed protobuf")

// messages holds scratch messages for the decoders: a Message is only valid
// while the sink has it.
var messages = sync.Pool{New: func() any { return new(message.Message) }}

// view reads s as bytes; nothing in protowire writes to its input.
func view(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

func (protobuf) Decode(frame []byte, to Sink) error {
	m := messages.Get().(*message.Message)
	err := decodeFrame(string(frame), m, to)
	*m = message.Message{}
	messages.Put(m)
	return err
}

func decodeFrame(rest string, m *message.Message, to Sink) error {
	for first := true; first || len(rest) > 0; first = false {
		n, used := protowire.ConsumeVarint(view(rest))
		if used < 0 || n > uint64(len(rest)-used) {
			return to.Malformed(unreadable())
		}
		body := rest[used : used+int(n)]
		rest = rest[used+int(n):]
		*m = message.Message{}
		if err := decodeEnvelope(body, m); err != nil {
			if err := to.Malformed(unreadable()); err != nil {
				return err
			}
			continue
		}
		if err := to.Message(m); err != nil {
			return err
		}
	}
	return nil
}

// unreadable is the answer to a frame that is no message; the session turns it
// into the one due before a login.
func unreadable() *message.Message {
	return &message.Message{Topic: message.Parser, Action: message.ParserUnknownTopic}
}

func decodeEnvelope(s string, m *message.Message) error {
	inner, ok := "", false
	for len(s) > 0 {
		num, typ, n := protowire.ConsumeTag(view(s))
		if n < 0 {
			return errMalformed
		}
		s = s[n:]
		switch {
		case num == 2 && typ == protowire.VarintType:
			v, n := protowire.ConsumeVarint(view(s))
			if n < 0 || v >= uint64(len(protoFields)) {
				return errMalformed
			}
			m.Topic = message.Topic(v)
			s = s[n:]
		case num == 3 && typ == protowire.BytesType:
			v, n := consumeString(s)
			if n < 0 {
				return errMalformed
			}
			inner, ok = v, true
			s = s[n:]
		default:
			n := protowire.ConsumeFieldValue(num, typ, view(s))
			if n < 0 {
				return errMalformed
			}
			s = s[n:]
		}
	}
	if !ok || protoFields[m.Topic][1] == none {
		return errMalformed
	}
	return decodeInner(inner, m)
}

func consumeString(s string) (string, int) {
	l, n := protowire.ConsumeVarint(view(s))
	if n < 0 || l > uint64(len(s)-n) {
		return "", -1
	}
	return s[n : n+int(l)], n + int(l)
}

func decodeInner(s string, m *message.Message) error {
	row := &protoFields[m.Topic]
	for len(s) > 0 {
		num, typ, n := protowire.ConsumeTag(view(s))
		if n < 0 {
			return errMalformed
		}
		s = s[n:]
		f := none
		if num < maxField {
			f = row[num]
		}
		switch {
		case f != none && typ == protowire.VarintType:
			v, n := protowire.ConsumeVarint(view(s))
			if n < 0 || !setNumber(m, f, v) {
				return errMalformed
			}
			s = s[n:]
		case f != none && typ == protowire.BytesType:
			v, n := consumeString(s)
			if n < 0 || !setString(m, f, v) {
				return errMalformed
			}
			s = s[n:]
		default:
			n := protowire.ConsumeFieldValue(num, typ, view(s))
			if n < 0 {
				return errMalformed
			}
			s = s[n:]
		}
	}
	return nil
}

func setNumber(m *message.Message, f field, v uint64) bool {
	switch f {
	case fAction:
		if v > 255 {
			return false
		}
		m.Action = message.Action(v)
	case fOriginalAction:
		m.OriginalAction = message.Action(v)
	case fOriginalTopic:
		m.OriginalTopic = message.Topic(v)
	case fIsError:
		m.IsError = v != 0
	case fIsAck:
		m.IsAck = v != 0
	case fIsWriteAck:
		m.IsWriteAck, m.HasWriteAck = v != 0, true
	case fVersion:
		m.Version, m.HasVersion = int64(int32(v)), true
	default:
		return false
	}
	return true
}

// setString refuses what is not UTF-8, as string fields have to be.
func setString(m *message.Message, f field, v string) bool {
	if f != fVersions && !utf8.ValidString(v) {
		return false
	}
	switch f {
	case fData:
		m.Data = v
	case fCorrelationID:
		m.CorrelationID = v
	case fName:
		m.Name = v
	case fNames:
		m.Names = append(m.Names, v)
	case fSubscription:
		m.Subscription = v
	case fPath:
		m.Path = v
	case fVersions:
		return decodeVersion(m, v)
	case fRequestorName:
		m.RequestorName = v
	case fRequestorData:
		m.RequestorData = v
	case fURL:
		m.URL = v
	case fProtocolVersion:
		m.ProtocolVersion = v
	case fSDKVersion:
		m.SDKVersion = v
	case fSDKType:
		m.SDKType = v
	default:
		return false
	}
	return true
}

// decodeVersion reads one entry of map<string, int32>.
func decodeVersion(m *message.Message, s string) bool {
	var e message.NameVersion
	for len(s) > 0 {
		num, typ, n := protowire.ConsumeTag(view(s))
		if n < 0 {
			return false
		}
		s = s[n:]
		switch {
		case num == 1 && typ == protowire.BytesType:
			e.Name, n = consumeString(s)
			if n >= 0 && !utf8.ValidString(e.Name) {
				return false
			}
		case num == 2 && typ == protowire.VarintType:
			var v uint64
			v, n = protowire.ConsumeVarint(view(s))
			e.Version = int64(int32(v))
		default:
			n = protowire.ConsumeFieldValue(num, typ, view(s))
		}
		if n < 0 {
			return false
		}
		s = s[n:]
	}
	m.Versions = append(m.Versions, e)
	return true
}

// envelope is the most that the length, the topic and the inner length take.
const envelope = 5 + 2 + 1 + 5

func (p protobuf) Append(dst []byte, m *message.Message) []byte {
	if p.traits.ID == OldProtobuf && isPatchMulti(m) {
		whole := asUpdate(m)
		m = &whole
	}
	if m.Action >= message.TextOnly || int(m.Topic) >= len(protoFields) || protoFields[m.Topic][1] == none {
		return dst
	}
	start := len(dst)
	var room [envelope]byte
	dst = append(dst, room[:]...)
	dst = appendInner(dst, m)
	inner := dst[start+envelope:]

	head := room[:0]
	size := 2 + 1 + protowire.SizeVarint(uint64(len(inner))) + len(inner)
	head = protowire.AppendVarint(head, uint64(size))
	head = append(head, 2<<3, byte(m.Topic), 3<<3|2)
	head = protowire.AppendVarint(head, uint64(len(inner)))

	copy(dst[start:], head)
	n := copy(dst[start+len(head):], inner)
	return dst[:start+len(head)+n]
}

func appendInner(dst []byte, m *message.Message) []byte {
	for num, f := range protoFields[m.Topic] {
		if f == none {
			continue
		}
		num := protowire.Number(num)
		switch f {
		case fAction:
			dst = appendNumber(dst, num, uint64(m.Action))
		case fData:
			dst = appendString(dst, num, m.Data)
		case fCorrelationID:
			dst = appendString(dst, num, m.CorrelationID)
		case fIsError:
			dst = appendTrue(dst, num, m.IsError)
		case fIsAck:
			dst = appendTrue(dst, num, m.IsAck)
		case fName:
			dst = appendString(dst, num, m.Name)
		case fNames:
			for _, name := range m.Names {
				dst = appendBytes(dst, num, name)
			}
		case fSubscription:
			dst = appendString(dst, num, m.Subscription)
		case fOriginalTopic:
			if m.OriginalTopic != 0 {
				dst = appendNumber(dst, num, uint64(m.OriginalTopic))
			}
		case fOriginalAction:
			if m.OriginalAction != 0 {
				dst = appendNumber(dst, num, uint64(m.OriginalAction))
			}
		case fIsWriteAck:
			if m.HasWriteAck {
				dst = appendNumber(dst, num, protowire.EncodeBool(m.IsWriteAck))
			}
		case fPath:
			dst = appendString(dst, num, m.Path)
		case fVersion:
			if m.HasVersion {
				dst = appendNumber(dst, num, uint64(m.Version))
			}
		case fVersions:
			for _, e := range m.Versions {
				dst = appendVersion(dst, num, e)
			}
		case fRequestorName:
			dst = appendString(dst, num, m.RequestorName)
		case fRequestorData:
			dst = appendString(dst, num, m.RequestorData)
		case fURL:
			dst = appendString(dst, num, m.URL)
		case fProtocolVersion:
			dst = appendString(dst, num, m.ProtocolVersion)
		case fSDKVersion:
			dst = appendString(dst, num, m.SDKVersion)
		case fSDKType:
			dst = appendString(dst, num, m.SDKType)
		}
	}
	return dst
}

func appendNumber(dst []byte, num protowire.Number, v uint64) []byte {
	dst = protowire.AppendTag(dst, num, protowire.VarintType)
	return protowire.AppendVarint(dst, v)
}

func appendTrue(dst []byte, num protowire.Number, v bool) []byte {
	if !v {
		return dst
	}
	return appendNumber(dst, num, 1)
}

func appendString(dst []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return dst
	}
	return appendBytes(dst, num, s)
}

func appendVersion(dst []byte, num protowire.Number, e message.NameVersion) []byte {
	size := 1 + protowire.SizeBytes(len(e.Name)) + 1 + protowire.SizeVarint(uint64(e.Version))
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size))
	dst = appendBytes(dst, 1, e.Name)
	return appendNumber(dst, 2, uint64(e.Version))
}

func appendBytes(dst []byte, num protowire.Number, s string) []byte {
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	return protowire.AppendString(dst, s)
}

// DecodeFirst decodes the first message of a protobuf frame and returns its length
// with all that belongs to it.
func DecodeFirst(frame []byte, to Sink) (int, error) {
	n, used := protowire.ConsumeVarint(frame)
	if used < 0 || n > uint64(len(frame)-used) {
		return 0, errMalformed
	}
	end := used + int(n)
	return end, For(Protobuf).Decode(frame[:end], to)
}

// isPatchMulti tells the update that JavaScript clients before 7.1 would take for
// a whole new value; asUpdate is what they get in its place.
func isPatchMulti(m *message.Message) bool {
	return m.Topic == message.Record && m.Action == message.RecordPatchMulti
}

func asUpdate(m *message.Message) message.Message {
	whole := *m
	whole.Action, whole.Data = message.RecordUpdate, m.Full
	return whole
}
