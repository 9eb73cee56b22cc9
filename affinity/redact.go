package affinity

// KeyInPath reports whether the request shows the session's id in its path: it
// must not be logged as it is then.
func (m *Match) KeyInPath() bool {
	if m.step == nil {
		return false
	}
	for i := range m.step.keys {
		if m.step.keys[i].from == fromPath {
			return true
		}
	}
	return false
}
