package affinity

import "time"

// LearnLimit is how much of an answer, in bytes, Learn looks at.
const LearnLimit = 8 << 10

// Learned is a new session.
type Learned struct {
	Key Key
	TTL time.Duration // life of the pin, margin included
}

// LearnStatus says how learning went. Its text is a metric label.
type LearnStatus uint8

const (
	NeedMore    LearnStatus = iota // show more of the body
	Done                           // Learned is valid
	NoSession                      // the answer is a refusal or an error: its status says so
	NoID                           // the answer was understood but has no id
	Encoded                        // the answer is compressed
	TooLong                        // no id within LearnLimit, or one longer than MaxID
	Unreadable                     // the answer is not in the protocol's form
	NotLearning                    // the request is no handshake
)

// String returns the status as a metric label.
func (s LearnStatus) String() string { return learnStatusNames[s] }

var learnStatusNames = [...]string{
	"need_more", "learned", "no_session", "no_id", "encoded", "too_long", "unreadable", "not_learning",
}

// Learn reads the session out of the answer to a handshake. body is what has
// come so far, from its first byte, decoded from its transfer coding; final
// says that it is the whole. Call it first with the head alone, then with more
// for as long as the status is NeedMore; with LearnLimit bytes or final it is
// never NeedMore. The outcome does not depend on how the body was cut.
func (m *Match) Learn(resp Response, body []byte, final bool) (Learned, LearnStatus) {
	return Learned{}, NotLearning
}
