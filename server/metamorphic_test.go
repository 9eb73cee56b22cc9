package server

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/wire"
)

// TestProtocolsAgree plays one random script twice, with a client of one protocol
// or another among clients of protobuf: both times everyone hears the same. What
// the protocols say differently by design is written in the same words (words).
func TestProtocolsAgree(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		protocol := rapid.SampledFrom([]string{"text-v1", "text-v3", "json", "protobuf-7.0"}).Draw(rt, "protocol")
		steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step { return drawStep(rt, protocol != "text-v1") }), 30, 80).Draw(rt, "steps")
		for i := range steps {
			steps[i].number(i)
		}
		var want, got string
		synctest.Test(t, func(t *testing.T) { want = playSteps(t, "protobuf", steps) })
		synctest.Test(t, func(t *testing.T) { got = playSteps(t, protocol, steps) })
		if got != want {
			rt.Fatalf("with %s:\n%s\nwith protobuf:\n%s", protocol, got, want)
		}
	})
}

// step is one message of a client, or a pause.
type step struct {
	Who   int
	M     message.Message
	Pause time.Duration
}

func (s step) String() string {
	if s.Pause > 0 {
		return "wait " + s.Pause.String()
	}
	m := &s.M
	return fmt.Sprintf("%d> %s %s %s%s v%d %s %s", s.Who, m.Topic, message.ActionName(m.Topic, m.Action), m.Name, m.Names, m.Version, m.Path, m.Data)
}

// number gives a message the id by which it is answered; answers to calls are about
// the call before them.
func (s *step) number(i int) {
	if s.M.CorrelationID == "" {
		s.M.CorrelationID = fmt.Sprint(i)
	}
}

func drawStep(rt *rapid.T, later bool) step {
	from := func(options ...string) string { return rapid.SampledFrom(options).Draw(rt, "") }
	if rapid.IntRange(0, 9).Draw(rt, "pause") == 0 {
		return step{Pause: rapid.SampledFrom([]time.Duration{600 * time.Millisecond, 1100 * time.Millisecond}).Draw(rt, "")}
	}
	s := step{Who: rapid.IntRange(0, 1).Draw(rt, "who")}
	m := &s.M
	value := func() string {
		return from(`"text"`, `{"a":[1,{"b":null}]}`, `5`, `-1.5e3`, `true`, `false`, `null`, `"é\n\""`, ``)
	}
	kinds := []message.Topic{message.Event, message.Record, message.Record, message.RPC}
	if later {
		kinds = append(kinds, message.Presence)
	}
	m.Topic = rapid.SampledFrom(kinds).Draw(rt, "topic")
	pick := func(actions ...message.Action) { m.Action = rapid.SampledFrom(actions).Draw(rt, "action") }
	switch m.Topic {
	case message.Event:
		pick(message.EventEmit, message.EventEmit, message.EventSubscribe, message.EventUnsubscribe, message.EventListen,
			message.EventUnlisten, message.EventListenAccept, message.EventListenReject)
		m.Name = from("e/1", "e/2")
		switch m.Action {
		case message.EventEmit:
			m.Data = value()
		case message.EventListen, message.EventUnlisten, message.EventListenAccept, message.EventListenReject:
			m.Subscription, m.Name = m.Name, from("e/.*", "e/[1]")
		}
	case message.Record:
		actions := []message.Action{message.RecordSubscribeCreateAndRead, message.RecordUnsubscribe, message.RecordRead,
			message.RecordUpdate, message.RecordUpdate, message.RecordPatch, message.RecordPatch, message.RecordErase, message.RecordDelete,
			message.RecordListen, message.RecordListenAccept, message.RecordListenReject, message.RecordUnlisten}
		if later {
			actions = append(actions, message.RecordHead, message.RecordCreateAndUpdate, message.RecordCreateAndPatch)
		}
		pick(actions...)
		m.Name = from("r/1", "r/2")
		switch m.Action {
		case message.RecordListen, message.RecordListenAccept, message.RecordListenReject, message.RecordUnlisten:
			m.Subscription, m.Name = m.Name, "r/.*"
		case message.RecordErase:
			m.Path = from("a", "a.b", "a.b[1]", "[")
		case message.RecordUpdate, message.RecordCreateAndUpdate:
			m.Data = from(`{}`, `{"a":{"b":[1,2]}}`, `[1,"x"]`)
		case message.RecordPatch, message.RecordCreateAndPatch:
			m.Path, m.Data = from("a", "a.b", "a.b[1]", "c[2].d", "["), value()
		}
		if m.Data != "" || m.Path != "" {
			m.Version, m.HasVersion = rapid.Int64Range(-1, 4).Draw(rt, "version"), true
			m.IsWriteAck = later && rapid.Bool().Draw(rt, "ack")
			m.HasWriteAck = m.IsWriteAck
		}
		if m.Action == message.RecordCreateAndUpdate || m.Action == message.RecordCreateAndPatch {
			m.Version = -1
		}
	case message.RPC:
		pick(message.RPCProvide, message.RPCProvide, message.RPCUnprovide, message.RPCRequest, message.RPCRequest,
			message.RPCAccept, message.RPCResponse, message.RPCReject, message.RPCRequestError)
		m.Name = fmt.Sprintf("p%d", s.Who) // one provider each: among several chance decides
		switch m.Action {
		case message.RPCRequest:
			m.Name, m.Data = from("p0", "p1"), value()
			m.CorrelationID = from("c1", "c2")
		case message.RPCAccept, message.RPCReject:
			m.CorrelationID = from("c1", "c2")
		case message.RPCResponse:
			m.CorrelationID, m.Data = from("c1", "c2"), value()
		case message.RPCRequestError:
			m.CorrelationID, m.Data = from("c1", "c2"), `"boom"`
		}
	case message.Presence:
		pick(message.PresenceSubscribeAll, message.PresenceUnsubscribeAll, message.PresenceQueryAll, message.PresenceQuery,
			message.PresenceSubscribe, message.PresenceUnsubscribe)
		if m.Action == message.PresenceQuery || m.Action == message.PresenceSubscribe || m.Action == message.PresenceUnsubscribe {
			m.Names = []string{"user0", "nobody"}
		}
	}
	if bulk[m.Topic][m.Action] {
		m.Names, m.Name = []string{m.Name}, ""
	}
	return s
}

// bulk are the messages that protobuf clients send with a list of names.
var bulk = map[message.Topic]map[message.Action]bool{
	message.Event:  {message.EventSubscribe: true, message.EventUnsubscribe: true},
	message.Record: {message.RecordSubscribeCreateAndRead: true, message.RecordUnsubscribe: true},
	message.RPC:    {message.RPCProvide: true, message.RPCUnprovide: true},
}

func playSteps(t *testing.T, protocol string, steps []step) string {
	d := newDialogue(t, nil)
	defer d.stop()
	d.connect(d.nodes[0], "0", protocol)
	d.login("0", "user0")
	d.connect(d.nodes[0], "1", "protobuf")
	d.login("1", "user1")
	var out strings.Builder
	for _, s := range steps {
		fmt.Fprintln(&out, s)
		if s.Pause > 0 {
			time.Sleep(s.Pause)
		} else {
			c := d.clients[s.Who]
			frame := []byte(unbar(asText(&s.M)))
			if !c.codec.Traits().Joins {
				frame = c.codec.Append(nil, &s.M)
			}
			if err := c.session.Receive(frame); err != nil {
				t.Errorf("%s: %v", s, err)
			}
		}
		synctest.Wait()
		for _, c := range d.clients {
			lines := heard(c)
			if a := message.ActionName(s.M.Topic, s.M.Action); s.Pause > 0 || strings.HasSuffix(a, "LISTEN") {
				slices.Sort(lines) // about several names, in no order
			}
			for _, line := range lines {
				fmt.Fprintf(&out, "\t%s< %s\n", c.name, line)
			}
		}
	}
	return out.String()
}

// asText is what a client of the text protocols sends.
func asText(m *message.Message) string {
	name := strings.Join(m.AllNames(), "")
	join := func(parts ...string) string { return strings.Join(parts, "|") + "\x1e" }
	switch word := textWords[m.Topic][m.Action]; {
	case word == "U" || word == "CU" || word == "P" && m.Topic == message.Record:
		parts := []string{"R", word, name, fmt.Sprint(m.Version)}
		if m.Path != "" {
			parts = append(parts, m.Path, typed(m.Data))
		} else {
			parts = append(parts, m.Data)
		}
		if m.IsWriteAck {
			parts = append(parts, `{"writeSuccess":true}`)
		} else if word == "CU" {
			parts = append(parts, "{}")
		}
		return join(parts...)
	case word == "":
		return string(wire.For(wire.TextG2).Append(nil, m)) // reads the same in both directions
	case m.Topic == message.Presence && len(m.Names) > 0:
		names, _ := json.Marshal(m.Names)
		return join("U", word, m.CorrelationID, string(names))
	case m.Topic == message.Presence:
		return join("U", word, word)
	case word == "LA" || word == "LR":
		return join(letters[m.Topic], word, name, m.Subscription)
	default:
		return join(letters[m.Topic], word, name)
	}
}

func typed(data string) string {
	m := message.Message{Topic: message.Event, Action: message.EventEmit, Name: "n", Data: data}
	text := string(wire.For(wire.TextG2).Append(nil, &m))
	return strings.TrimSuffix(text[strings.LastIndex(text, "\x1f")+1:], "\x1e")
}

var letters = map[message.Topic]string{message.Event: "E", message.Record: "R", message.RPC: "P", message.Presence: "U"}

var textWords = map[message.Topic]map[message.Action]string{
	message.Event: {
		message.EventSubscribe: "S", message.EventUnsubscribe: "US", message.EventListen: "L", message.EventUnlisten: "UL",
		message.EventListenAccept: "LA", message.EventListenReject: "LR",
	},
	message.Record: {
		message.RecordSubscribeCreateAndRead: "CR", message.RecordUnsubscribe: "US", message.RecordRead: "SN", message.RecordHead: "HD",
		message.RecordUpdate: "U", message.RecordPatch: "P", message.RecordCreateAndUpdate: "CU", message.RecordCreateAndPatch: "CU",
		message.RecordErase: "P", message.RecordDelete: "D", message.RecordListen: "L", message.RecordUnlisten: "UL",
		message.RecordListenAccept: "LA", message.RecordListenReject: "LR",
	},
	message.RPC: {message.RPCProvide: "S", message.RPCUnprovide: "US"},
	message.Presence: {
		message.PresenceSubscribeAll: "S", message.PresenceUnsubscribeAll: "US", message.PresenceQueryAll: "Q", message.PresenceQuery: "Q",
		message.PresenceSubscribe: "S", message.PresenceUnsubscribe: "US",
	},
}

// heard returns what a client got since the last time, in the words of words.
func heard(c *client) (lines []string) {
	if !c.codec.Traits().Joins {
		var last message.Message
		for _, m := range c.take() {
			if m.Topic == message.Record && m.Action == message.RecordInvalidVersion &&
				last.Action == message.RecordUpdate && last.Name == m.Name {
				// The record, which text clients are sent within VERSION_EXISTS.
				lines = lines[:len(lines)-1]
			}
			lines = append(lines, words(&m))
			last = m
		}
	} else {
		c.mu.Lock()
		text := string(c.bytes)
		c.bytes = nil
		c.mu.Unlock()
		for one := range strings.SplitSeq(strings.TrimSuffix(text, "\x1e"), "\x1e") {
			lines = append(lines, textAsWords(strings.Split(one, "\x1f")))
		}
	}
	return slices.DeleteFunc(lines, func(line string) bool { return line == "" })
}

// words says what a message means to a client. Acknowledgements of subscriptions
// are left out, protobuf has one for many names; so are names that were not
// subscribed, of which only text clients hear.
func words(m *message.Message) string {
	name := message.ActionName(m.Topic, m.Action)
	data := compact(m.Data)
	switch {
	case m.IsAck, name == "NOT_SUBSCRIBED", name == "NOT_PROVIDED":
		return ""
	case name == "EMIT":
		return "event " + m.Name + " " + data
	case name == "READ_RESPONSE":
		return fmt.Sprint("record ", m.Name, " ", m.Version, " ", data)
	case name == "HEAD_RESPONSE":
		return fmt.Sprint("head ", m.Name, " ", m.Version)
	case name == "UPDATE", name == "PATCH":
		return fmt.Sprint("write ", m.Name, " ", m.Version, " ", m.Path, " ", data)
	case name == "VERSION_EXISTS", name == "INVALID_VERSION":
		return "conflict " + m.Name
	case name == "DELETE_SUCCESS", name == "DELETED":
		return "deleted " + m.Name
	case name == "WRITE_ACKNOWLEDGEMENT":
		return "written " + m.Name
	case name == "RECORD_NOT_FOUND", name == "RECORD_UPDATE_ERROR":
		if m.Topic == message.Record && m.Action == message.RecordUpdateError {
			return "no record"
		}
		return "not found " + m.Name
	case strings.HasPrefix(name, "SUBSCRIPTION_HAS_"):
		return fmt.Sprint("provider ", m.Name, " ", name == "SUBSCRIPTION_HAS_PROVIDER")
	case name == "SUBSCRIPTION_FOR_PATTERN_FOUND":
		return "found " + m.Name + " " + m.Subscription
	case name == "SUBSCRIPTION_FOR_PATTERN_REMOVED":
		return "removed " + m.Name + " " + m.Subscription
	case name == "LISTEN_RESPONSE_TIMEOUT":
		return "" // text clients have no word for it
	case name == "INVALID_RPC_CORRELATION_ID":
		return "stray " + m.CorrelationID
	case name == "REQUEST_ERROR":
		return "call error " + strings.Trim(data, `"`) + " " + m.CorrelationID
	case name == "QUERY_RESPONSE":
		return "users " + data
	case name == "QUERY_ALL_RESPONSE":
		return "all users " + strings.Join(m.Names, " ")
	case m.Topic == message.RPC && m.Data != "":
		return "call " + name + " " + m.CorrelationID + " " + data
	case m.Topic == message.RPC && m.CorrelationID != "":
		return "call " + name + " " + m.CorrelationID
	case name == "MULTIPLE_SUBSCRIPTIONS", name == "MULTIPLE_PROVIDERS":
		return "again " + m.Name
	case name == "INVALID_MESSAGE_DATA":
		return "invalid"
	}
	return name + " " + m.Name
}

// textAsWords is words for what a text client got.
func textAsWords(p []string) string {
	at := func(i int) string {
		if i < len(p) {
			return p[i]
		}
		return ""
	}
	switch at(0) + "|" + at(1) {
	case "|", "C|PI", "E|A", "U|A":
		return ""
	case "E|EVT":
		return "event " + at(2) + " " + untyped(at(3))
	case "E|SP", "R|SP":
		return "found " + at(2) + " " + at(3)
	case "E|SR", "R|SR":
		return "removed " + at(2) + " " + at(3)
	case "R|A":
		if at(2) == "D" {
			return "deleted " + at(3)
		}
		return ""
	case "R|R":
		return "record " + at(2) + " " + at(3) + " " + compact(at(4))
	case "R|HD":
		return "head " + at(2) + " " + at(3)
	case "R|U":
		return "write " + at(2) + " " + at(3) + "  " + compact(at(4))
	case "R|P":
		return "write " + at(2) + " " + at(3) + " " + at(4) + " " + untyped(at(5))
	case "R|SH":
		return fmt.Sprint("provider ", at(2), " ", at(3) == "T")
	case "R|WA":
		switch at(4) {
		case "L":
			return "written " + at(2)
		case "SINVALID_MESSAGE_DATA":
			return "invalid"
		}
		return "no record"
	case "P|A":
		if at(2) == "REQ" {
			return "call ACCEPT " + at(4)
		}
		if at(2) == "S" || at(2) == "US" {
			return ""
		}
		return "call ACCEPT " + at(3)
	case "P|REQ", "P|RES":
		name := map[string]string{"REQ": "REQUEST", "RES": "RESPONSE"}[at(1)]
		return strings.TrimSpace("call " + name + " " + at(3) + " " + untyped(at(4)))
	case "U|Q":
		if strings.HasPrefix(at(3), "{") {
			return "users " + compact(at(3))
		}
		return "all users " + strings.Join(p[2:], " ")
	case "E|E", "R|E", "P|E", "U|E":
		return textErrorAsWords(at)
	}
	return strings.Join(p, "|")
}

func textErrorAsWords(at func(int) string) string {
	switch code := at(2); {
	case code == "NOT_SUBSCRIBED":
		return ""
	case code == "MULTIPLE_SUBSCRIPTIONS":
		return "again " + at(3)
	case code == "VERSION_EXISTS":
		return "conflict " + at(3)
	case code == "RECORD_UPDATE_ERROR":
		return "no record"
	case code == "SN":
		return "not found " + at(3)
	case code == "HD":
		return "head " + at(3) + " -1"
	case strings.HasPrefix(at(3), "unexpected state for rpc "):
		return "stray " + strings.Fields(at(3))[4]
	case code == "INVALID_MESSAGE_DATA":
		return "invalid"
	case at(0) == "P":
		if name := map[string]string{"NO_RPC_PROVIDER": code, "ACK_TIMEOUT": "ACCEPT_TIMEOUT",
			"RESPONSE_TIMEOUT": code, "MULTIPLE_ACK": "MULTIPLE_ACCEPT"}[code]; name != "" {
			return "call " + name + " " + at(4)
		}
		return "call error " + code + " " + at(4)
	}
	return "error " + at(2)
}

// untyped is the JSON of a typed value.
func untyped(s string) string {
	if s == "" {
		return ""
	}
	switch rest := s[1:]; s[0] {
	case 'S':
		b, _ := json.Marshal(rest)
		return compact(string(b))
	case 'T':
		return "true"
	case 'F':
		return "false"
	case 'L':
		return "null"
	case 'U':
		return ""
	default:
		return compact(rest)
	}
}

// compact writes JSON in one way.
func compact(data string) string {
	var v any
	if json.Unmarshal([]byte(data), &v) != nil {
		return data
	}
	b, _ := json.Marshal(v)
	return string(b)
}
