package wire

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/dsproxy/dsproxy/server/message"
)

// jsonCodec is the JSON endpoint of deepstream 5 and later: one object in one
// text frame, with the numbers of the protobuf protocol and the data inline as
// parsedData.
type jsonCodec struct{}

var jsonTraits = Traits{ID: JSON, Name: "json", Heartbeat: true}

func (jsonCodec) Traits() *Traits { return &jsonTraits }

// jsonMessage is the object; pointers tell an absent number from a zero.
type jsonMessage struct {
	Topic           int              `json:"topic"`
	Action          int              `json:"action"`
	Name            string           `json:"name,omitempty"`
	Names           []string         `json:"names,omitzero"`
	Subscription    string           `json:"subscription,omitempty"`
	CorrelationID   string           `json:"correlationId,omitempty"`
	OriginalAction  int              `json:"originalAction,omitempty"`
	OriginalTopic   int              `json:"originalTopic,omitempty"`
	Path            string           `json:"path,omitempty"`
	Version         *int64           `json:"version,omitempty"`
	Versions        map[string]int64 `json:"versions,omitzero"`
	IsError         bool             `json:"isError,omitempty"`
	IsAck           bool             `json:"isAck,omitempty"`
	IsWriteAck      *bool            `json:"isWriteAck,omitempty"`
	RequestorName   string           `json:"requestorName,omitempty"`
	RequestorData   string           `json:"requestorData,omitempty"` // JSON in a string: clients parse it
	URL             string           `json:"url,omitempty"`
	ProtocolVersion string           `json:"protocolVersion,omitempty"`
	SDKVersion      string           `json:"sdkVersion,omitempty"`
	SDKType         string           `json:"sdkType,omitempty"`
	Data            *string          `json:"data,omitempty"`
	ParsedData      json.RawMessage  `json:"parsedData,omitempty"`
}

// Decode has a frame that is not a JSON object answered, where the original hangs
// up.
func (jsonCodec) Decode(frame []byte, to Sink) error {
	if !utf8.Valid(frame) {
		return ErrUTF8
	}
	var j jsonMessage
	if json.Unmarshal(frame, &j) != nil {
		return to.Malformed(parserError(message.ParserMessageParseError, ""))
	}
	if j.Topic <= 0 || j.Topic >= len(protoFields) || protoFields[j.Topic][1] == none || j.Action <= 0 || j.Action > 255 {
		return to.Malformed(unreadable())
	}
	m := message.Message{
		Topic: message.Topic(j.Topic), Action: message.Action(j.Action),
		Name: j.Name, Names: j.Names, Subscription: j.Subscription, CorrelationID: j.CorrelationID,
		OriginalAction: message.Action(j.OriginalAction), OriginalTopic: message.Topic(j.OriginalTopic),
		Path: j.Path, IsError: j.IsError, IsAck: j.IsAck,
		RequestorName: j.RequestorName, RequestorData: j.RequestorData,
		URL: j.URL, ProtocolVersion: j.ProtocolVersion, SDKVersion: j.SDKVersion, SDKType: j.SDKType,
		Data: string(j.ParsedData),
	}
	if j.Version != nil {
		m.Version, m.HasVersion = *j.Version, true
	}
	if j.IsWriteAck != nil {
		m.IsWriteAck, m.HasWriteAck = *j.IsWriteAck, true
	}
	if j.Data != nil {
		m.Data = *j.Data
	}
	for name, v := range j.Versions {
		m.Versions = append(m.Versions, message.NameVersion{Name: name, Version: v})
	}
	return to.Message(&m)
}

func (jsonCodec) Append(dst []byte, m *message.Message) []byte {
	if m.Action >= message.TextOnly {
		return dst
	}
	if isPatchMulti(m) {
		whole := asUpdate(m)
		m = &whole
	}
	j := jsonMessage{
		Topic: int(m.Topic), Action: int(m.Action),
		Name: m.Name, Names: m.Names, Subscription: m.Subscription, CorrelationID: m.CorrelationID,
		OriginalAction: int(m.OriginalAction), OriginalTopic: int(m.OriginalTopic),
		Path: m.Path, IsError: m.IsError, IsAck: m.IsAck,
		RequestorName: m.RequestorName, RequestorData: m.RequestorData,
		URL: m.URL, ProtocolVersion: m.ProtocolVersion, SDKVersion: m.SDKVersion, SDKType: m.SDKType,
		ParsedData: json.RawMessage(m.Data),
	}
	if m.HasVersion {
		j.Version = &m.Version
	}
	if m.HasWriteAck {
		j.IsWriteAck = &m.IsWriteAck
	}
	// Clients read these two without asking whether they are there.
	all := m.Topic == message.Presence && m.Action == message.PresenceQueryAllResponse
	heads := m.Topic == message.Record && m.Action == message.RecordHeadResponseBulk
	switch {
	case len(m.Names) > 0:
	case all:
		j.Names = []string{}
	default:
		j.Names = nil
	}
	if heads || len(m.Versions) > 0 {
		j.Versions = make(map[string]int64, len(m.Versions))
		for _, e := range m.Versions {
			j.Versions[e.Name] = e.Version
		}
	}
	b, err := json.Marshal(&j)
	if err != nil {
		return dst // only data that is not JSON can do this, and it was checked on the way in
	}
	return append(dst, b...)
}
