package backend

import (
	"context"
	"slices"
)

// Static is a Source of a list that never changes. A Pool shows it from the
// moment it is made, before Run.
type Static struct {
	backends []Backend
}

// NewStatic returns a source of these backends.
func NewStatic(b []Backend) *Static { return &Static{backends: slices.Clone(b)} }

// Run hands over the list and returns.
func (s *Static) Run(_ context.Context, set func([]Backend)) error {
	set(s.backends)
	return nil
}

// String names the source.
func (s *Static) String() string { return "static" }
