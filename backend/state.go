package backend

// State is what a backend may be used for. The zero State is Gone.
type State uint8

// The states. When several apply, the one that forbids more is shown: down
// before draining before ejected.
const (
	// Gone is a backend that no source names: in a Change only.
	Gone State = iota
	// Up takes new sessions.
	Up
	// Draining takes no new sessions, by the will of an operator or of its
	// source; those it has go on.
	Draining
	// Down failed its active checks. It takes nothing, and sessions pinned to it are lost.
	Down
	// Ejected failed real traffic and is spared new sessions for a while; those it has go on.
	Ejected
)

// String returns the state in lower case, as /backends and the metrics show it.
func (s State) String() string {
	return [...]string{"gone", "up", "draining", "down", "ejected"}[s]
}

// MarshalText makes a State a string in JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
