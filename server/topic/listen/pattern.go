package listen

import (
	"errors"
	"fmt"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/dlclark/regexp2/v2"
)

// matcher is a listen pattern: a regular expression of JavaScript, found anywhere
// in a name. Most say nothing that Go's regexp cannot say, whose time is linear.
// Look-around and back references need a backtracking engine, which a pattern can
// make run for ever: such a pattern has a budget and is dead once that is spent.
type matcher struct {
	linear *regexp.Regexp
	back   *regexp2.Regexp // where linear is nil

	spent   atomic.Int64 // nanoseconds that back took
	matches atomic.Int64
	dead    atomic.Bool
}

// Bounds on matching.
const (
	// maxName is the longest name, in bytes, for which providers are looked for.
	maxName = 8 << 10
	// matchTimeout ends one match that backtracks; the clock of the engine adds
	// up to twice clockPeriod.
	matchTimeout = 10 * time.Millisecond
	clockPeriod  = 10 * time.Millisecond
	// A pattern that backtracks may take firstBudget, and matchBudget more for
	// each name.
	firstBudget = 100 * time.Millisecond
	matchBudget = 10 * time.Microsecond
	// maxStack bounds the memory of one match that backtracks, in words.
	maxStack = 100_000
)

func init() { regexp2.SetTimeoutCheckPeriod(clockPeriod) }

var errPattern = errors.New("not a regular expression")

// compile reads a pattern.
func compile(pattern string) (*matcher, error) {
	t := translation{in: pattern}
	if err := t.run(); err != nil {
		return nil, fmt.Errorf("%w: %w", errPattern, err)
	}
	if !t.backtracks {
		re, err := regexp.Compile(string(t.out))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errPattern, err) // too large, say
		}
		return &matcher{linear: re}, nil
	}
	re, err := regexp2.Compile(t.backtracking(), regexp2.ECMAScript, regexp2.OptionMaxBacktrackingStackSize(maxStack))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPattern, err)
	}
	re.MatchTimeout = matchTimeout
	return &matcher{back: re}, nil
}

// match reports whether a name matches. It is safe for concurrent use.
func (m *matcher) match(name string) bool {
	switch {
	case len(name) > maxName:
		return false
	case m.linear != nil:
		return m.linear.MatchString(name)
	case m.dead.Load():
		return false
	}
	start := time.Now()
	ok, err := m.back.MatchString(name)
	spent := m.spent.Add(int64(time.Since(start)))
	budget := int64(firstBudget) + m.matches.Add(1)*int64(matchBudget)
	if err != nil || spent > budget {
		m.dead.Store(true)
		return false
	}
	return ok
}
