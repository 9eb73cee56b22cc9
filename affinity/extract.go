package affinity

// found says how far an extractor got with the bytes there are. All extractors
// are pure functions of a prefix; given more bytes, what was whole or broken
// stays so.
type found uint8

const (
	partial found = iota // nothing wrong so far, but it goes on
	whole                // the value, or the absence of one, is certain
	broken               // not in the form expected
)
