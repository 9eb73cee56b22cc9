package wire

import (
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dsproxy/dsproxy/server/message"
)

// collector is a Sink that keeps what it gets.
type collector struct {
	messages  []message.Message
	malformed []message.Message
}

func (c *collector) Message(m *message.Message) error {
	c.messages = append(c.messages, *m)
	return nil
}

func (c *collector) Malformed(m *message.Message) error {
	c.malformed = append(c.malformed, *m)
	return nil
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestProtobufBytes holds the bytes of the original, in both directions.
func TestProtobufBytes(t *testing.T) {
	f := func(name, bytes string, m message.Message) {
		t.Helper()
		c := For(Protobuf)
		if got := hex.EncodeToString(c.Append(nil, &m)); got != bytes {
			t.Errorf("%s: encoded as\n%s, want\n%s", name, got, bytes)
		}
		var got collector
		if err := c.Decode(unhex(t, bytes), &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(collector{messages: []message.Message{m}}, got, cmp.AllowUnexported(collector{})); diff != "" {
			t.Errorf("%s: decoded differently (-want +got):\n%s", name, diff)
		}
	}
	const (
		conn, auth, event, record = message.Connection, message.Auth, message.Event, message.Record
		rpc, presence             = message.RPC, message.Presence
	)
	type M = message.Message
	f("challenge", "4010021a3c08052a1f77733a2f2f3132372e302e302e313a32313033302f6465657073747265616d3204302e31613a05372e302e35420a6a617661736372697074",
		M{Topic: conn, Action: message.ConnectionChallenge, URL: "ws://127.0.0.1:21030/deepstream", ProtocolVersion: "0.1a", SDKVersion: "7.0.5", SDKType: "javascript"})
	f("accept", "0610021a020804", M{Topic: conn, Action: message.ConnectionAccept})
	f("login", "1910031a15080212117b22757365726e616d65223a22616c227d", M{Topic: auth, Action: message.AuthRequest, Data: `{"username":"al"}`})
	f("logged in", "0610031a020803", M{Topic: auth, Action: message.AuthSuccessful})
	f("ping", "0610021a020802", M{Topic: conn, Action: message.ConnectionPing})
	f("pong", "0610021a020803", M{Topic: conn, Action: message.ConnectionPong})
	f("subscribe", "0d10041a0908031a01303a026576", M{Topic: event, Action: message.EventSubscribe, CorrelationID: "0", Names: []string{"ev"}})
	f("ack", "0b10041a0708031a01302801", M{Topic: event, Action: message.EventSubscribe, CorrelationID: "0", IsAck: true})
	f("emit", "1310041a0f080212077b2278223a317d32026576", M{Topic: event, Action: message.EventEmit, Name: "ev", Data: `{"x":1}`})
	f("create and read", "0e10051a0a08171a01333a03726563", M{Topic: record, Action: message.RecordSubscribeCreateAndRead, CorrelationID: "3", Names: []string{"rec"}})
	f("its ack", "1010051a0c08171a013328013a03726563", M{Topic: record, Action: message.RecordSubscribeCreateAndRead, CorrelationID: "3", Names: []string{"rec"}, IsAck: true})
	f("read response of a new record", "1110051a0d080412027b7d32037265636800", M{Topic: record, Action: message.RecordReadResponse, Name: "rec", Data: "{}", HasVersion: true})
	f("update", "1610051a12081212077b2261223a317d32037265636801", M{Topic: record, Action: message.RecordUpdate, Name: "rec", Data: `{"a":1}`, Version: 1, HasVersion: true})
	f("update to others", "1810051a14081212077b2261223a317d320372656358006801",
		M{Topic: record, Action: message.RecordUpdate, Name: "rec", Data: `{"a":1}`, Version: 1, HasVersion: true, HasWriteAck: true})
	f("patch", "1b10051a1708131201351a027731320372656358016203622e636802",
		M{Topic: record, Action: message.RecordPatch, Name: "rec", Data: "5", Path: "b.c", CorrelationID: "w1", Version: 2, HasVersion: true, IsWriteAck: true, HasWriteAck: true})
	f("write ack", "1110051a0d080e1a02773132037265635801",
		M{Topic: record, Action: message.RecordWriteAcknowledgement, Name: "rec", CorrelationID: "w1", IsWriteAck: true, HasWriteAck: true})
	f("version exists", "2a10051a26086612137b2261223a312c2262223a7b2263223a357d7d1a0277323203726563501258016802",
		M{Topic: record, Action: message.RecordVersionExists, Name: "rec", Data: `{"a":1,"b":{"c":5}}`, CorrelationID: "w2",
			OriginalAction: message.RecordUpdate, IsWriteAck: true, HasWriteAck: true, Version: 2, HasVersion: true})
	f("invalid version", "1810051a14086c12077b227a223a317d320372656350126802",
		M{Topic: record, Action: message.RecordInvalidVersion, Name: "rec", Data: `{"z":1}`, OriginalAction: message.RecordUpdate, Version: 2, HasVersion: true})
	f("erase", "1010051a0c081432037265636201626803", M{Topic: record, Action: message.RecordErase, Name: "rec", Path: "b", Version: 3, HasVersion: true})
	f("any version", "1f10051a1b081212077b2271223a317d320372656368ffffffffffffffffff01",
		M{Topic: record, Action: message.RecordUpdate, Name: "rec", Data: `{"q":1}`, Version: -1, HasVersion: true})
	f("not found", "1010051a0c086b200132046e6f70655003",
		M{Topic: record, Action: message.RecordNotFound, Name: "nope", IsError: true, OriginalAction: message.RecordRead})
	f("bulk head", "0f10051a0b080872070a037265631005",
		M{Topic: record, Action: message.RecordHeadResponseBulk, Versions: []message.NameVersion{{Name: "rec", Version: 5}}})
	f("update error", "0f10051a0b0869200132056e6f726563", M{Topic: record, Action: message.RecordUpdateError, Name: "norec", IsError: true})
	f("deleted", "0c10051a08080d320472656332", M{Topic: record, Action: message.RecordDeleted, Name: "rec2"})
	f("request", "1810061a14080212077b226e223a317d1a0263313a03616464", M{Topic: rpc, Action: message.RPCRequest, Name: "add", CorrelationID: "c1", Data: `{"n":1}`})
	f("response", "1210061a0e08051201331a0263313a03616464", M{Topic: rpc, Action: message.RPCResponse, Name: "add", CorrelationID: "c1", Data: "3"})
	f("unknown call", "1310061a0f08671a02633120013a036164644805",
		M{Topic: rpc, Action: message.RPCInvalidRPCCorrelationID, Name: "add", CorrelationID: "c1", IsError: true, OriginalAction: message.RPCResponse})
	f("all users", "0a10071a0608034a02626f", M{Topic: presence, Action: message.PresenceQueryAllResponse, Names: []string{"bo"}})
	f("some users", "2210071a1e080522167b22626f223a747275652c227a7a223a66616c73657d2a027131",
		M{Topic: presence, Action: message.PresenceQueryResponse, Data: `{"bo":true,"zz":false}`, CorrelationID: "q1"})
	f("join", "0a10071a06080742026379", M{Topic: presence, Action: message.PresenceJoinAll, Name: "cy"})
	f("pattern found", "1310051a0f082132056c692f2e2a4a046c692f31",
		M{Topic: record, Action: message.RecordSubscriptionForPatternFound, Name: "li/.*", Subscription: "li/1"})
	f("has provider", "0c10051a08081f32046c692f31", M{Topic: record, Action: message.RecordSubscriptionHasProvider, Name: "li/1"})
	f("unreadable", "0610011a020801", M{Topic: message.Parser, Action: message.ParserUnknownTopic})
}

// TestProtobufSeveral: the original reads only the first message of a frame.
func TestProtobufSeveral(t *testing.T) {
	ping := unhex(t, "0610021a020802")
	var got collector
	if err := For(Protobuf).Decode(append(append([]byte{}, ping...), ping...), &got); err != nil || len(got.messages) != 2 {
		t.Errorf("got %d messages, %v, want 2", len(got.messages), err)
	}
}

// TestProtobufGarbage: what cannot be read is answered, and what follows it is
// still read.
func TestProtobufGarbage(t *testing.T) {
	f := func(frame string, malformed, messages int) {
		t.Helper()
		var got collector
		if err := For(Protobuf).Decode(unhex(t, frame), &got); err != nil {
			t.Errorf("%s: %v", frame, err)
		}
		if len(got.malformed) != malformed || len(got.messages) != messages {
			t.Errorf("%s: %d malformed and %d messages, want %d and %d", frame, len(got.malformed), len(got.messages), malformed, messages)
		}
	}
	f("", 1, 0)
	f("ff", 1, 0)
	f("0510021a020802", 2, 0)                    // length too short: the rest is garbage too
	f("0210020610021a020802", 1, 1)              // no inner message
	f("0610631a020802", 1, 0)                    // no such topic
	f("0610001a020802", 1, 0)                    // topic 0
	f("0610021a020802"+"ffffffff0f", 1, 1)       // length beyond the frame
	f("0710021a03080210", 1, 0)                  // tag without a value
	f("0710021a0308ac02"+"0610021a020802", 1, 1) // action above a byte
}

func TestOldProtobufGetsWholeValues(t *testing.T) {
	m := message.Message{Topic: message.Record, Action: message.RecordPatchMulti, Name: "r", Version: 2, HasVersion: true,
		Data: `[{"path":"a","data":1}]`, Full: `{"a":1}`}
	want := m
	want.Action, want.Data = message.RecordUpdate, m.Full
	if got := For(OldProtobuf).Append(nil, &m); string(got) != string(For(Protobuf).Append(nil, &want)) {
		t.Errorf("got %x", got)
	}
}

func TestEncodeAllocatesNothing(t *testing.T) {
	m := message.Message{Topic: message.Event, Action: message.EventEmit, Name: "news", Data: `{"x":1}`}
	for id := range Codecs {
		if id == JSON {
			continue // encoding/json has its own mind
		}
		buf := make([]byte, 0, 256)
		if n := testing.AllocsPerRun(100, func() { _, buf = Encode(For(id), buf, &m) }); n > 0 {
			t.Errorf("%s: %v allocations", For(id).Traits().Name, n)
		}
	}
}

func FuzzProtobuf(f *testing.F) {
	for _, s := range []string{"0610021a020802", "2a10051a26086612137b2261223a312c2262223a7b2263223a357d7d1a0277323203726563501258016802", "0f10051a0b080872070a037265631005"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, frame []byte) { roundTrip(t, For(Protobuf), frame) })
}

// roundTrip checks that what was decoded is the same after encoding and decoding
// it once more.
func roundTrip(t *testing.T, c Codec, frame []byte) {
	var first collector
	if c.Decode(frame, &first) != nil {
		return
	}
	for _, m := range first.messages {
		m.Raw = ""
		var again collector
		encoded := c.Append(nil, &m)
		if len(encoded) == 0 {
			continue
		}
		if err := c.Decode(encoded, &again); err != nil || len(again.messages) != 1 {
			t.Fatalf("%+v encoded as %q is decoded as %d messages, %v", m, encoded, len(again.messages), err)
		}
		again.messages[0].Raw = ""
		if diff := cmp.Diff(m, again.messages[0]); diff != "" {
			t.Fatalf("round trip (-first +again):\n%s", diff)
		}
	}
}
