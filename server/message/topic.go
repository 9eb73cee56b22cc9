package message

// Topic is the first level of a message's meaning.
type Topic uint8

// The topics, numbered as in the protobuf protocol.
const (
	Unknown       Topic = 0
	Parser        Topic = 1
	Connection    Topic = 2
	Auth          Topic = 3
	Event         Topic = 4
	Record        Topic = 5
	RPC           Topic = 6
	Presence      Topic = 7
	Monitoring    Topic = 8
	Cluster       Topic = 9
	Lock          Topic = 10
	StateRegistry Topic = 11

	topics = 12
)

var topicNames = [topics]string{
	"UNKNOWN", "PARSER", "CONNECTION", "AUTH", "EVENT", "RECORD", "RPC",
	"PRESENCE", "MONITORING", "CLUSTER", "LOCK", "STATE_REGISTRY",
}

func (t Topic) String() string {
	if int(t) < len(topicNames) {
		return topicNames[t]
	}
	return "UNKNOWN"
}
