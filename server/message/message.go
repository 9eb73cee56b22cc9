// Package message is the vocabulary of the realtime node: one Message type that
// every wire protocol decodes into and every topic answers with, and the tables
// of topics and actions. It has no behaviour beyond naming things.
//
// The numbers are those of the protobuf protocol (deepstream 4 to 10); the text
// protocols of deepstream 1 to 3 are mapped onto them by package wire. Actions
// from TextOnly upwards exist only in the text protocols and are never written
// to a protobuf or JSON client.
package message

// Message is one protocol message of any generation. A string field is absent
// when it is empty; the numbers and booleans that a protocol distinguishes from
// their absence carry a Has flag beside them.
//
// A Message decoded from a frame holds substrings of that frame: whoever keeps a
// field for longer than the handling of the message clones it.
type Message struct {
	Topic  Topic
	Action Action

	// Name is the event, record, rpc, user or listen pattern; Names is the
	// list of a bulk message and takes Name's place there.
	Name  string
	Names []string

	// Data is JSON text; empty means absent (undefined in JavaScript).
	Data          string
	CorrelationID string
	Path          string
	Subscription  string

	// Version is on the wire of the protobuf and JSON protocols when HasVersion
	// is set, zero included. An answer to a text client may state a version
	// that those protocols leave out: then HasVersion is not set.
	Version    int64
	HasVersion bool
	Versions   []NameVersion

	IsError bool
	IsAck   bool
	// IsWriteAck is written, false included, when HasWriteAck is set.
	IsWriteAck  bool
	HasWriteAck bool

	OriginalTopic  Topic
	OriginalAction Action

	RequestorName string
	RequestorData string // JSON

	URL             string
	ProtocolVersion string
	SDKVersion      string
	SDKType         string

	// Full is the whole value after a PATCH_MULTI, for the protocols that have
	// no word for one.
	Full string

	// Base and Sum are those of a record before and after a write
	// (store.Record.Sum), 0 where they are not known. Only nodes tell them each
	// other.
	Base, Sum uint64

	// Raw is the text of the message as a text client sent it, without the
	// end mark; errors to text clients quote it.
	Raw string
}

// NameVersion is one entry of a bulk head answer.
type NameVersion struct {
	Name    string
	Version int64
}

// AllNames returns the names a bulk message is about, or its only name.
func (m *Message) AllNames() []string {
	if len(m.Names) > 0 || m.Name == "" {
		return m.Names
	}
	return []string{m.Name}
}
