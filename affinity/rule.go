package affinity

// Rule is one protocol, compiled.
type Rule struct {
	Name  string // metric label: lower case, digits, '.', '-' and '_'
	About string
}

type step struct{}

// Rules is an ordered list of compiled rules; the first that matches wins. It
// never changes.
type Rules struct {
	rules []*Rule
}

// Builtin returns the built-in rules, all of them.
func Builtin() *Rules { return &Rules{} }

// RuleConfig is one rule as it was written.
type RuleConfig struct {
	Name string
	Line int // in the file it came from
}

// RuleList is what stands under "rules:" in a configuration file. It decodes
// itself strictly from YAML: an unknown key is an error that names its line.
type RuleList []RuleConfig

// LoadRules reads a YAML document whose only key is "rules". Its error joins
// all that is wrong, each with its line and what would be right.
func LoadRules(yaml []byte) (RuleList, error) { return nil, nil }

// Compile puts the user's rules before the built-in ones named; nil means all,
// an empty list none.
func Compile(builtin []string, user RuleList) (*Rules, error) { return Builtin(), nil }

// Names returns the names of the rules in their order, for metrics.
func (rs *Rules) Names() []string { return nil }

// Match finds the rule for a request. It does not allocate.
func (rs *Rules) Match(r Request) (Match, bool) { return Match{}, false }

// Explanation is why a request matches what it does.
type Explanation struct {
	Matched bool
	Match   Match
	Request string   // name of the kind of request within the rule
	KeyFrom string   // where the key was found: "query sid", "header Mcp-Session-Id"
	Why     []string // one line for each condition that held
}

// Explain tells what Match would say of a request, and why.
func (rs *Rules) Explain(r Request) Explanation { return Explanation{} }
