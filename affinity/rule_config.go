package affinity

import (
	"time"

	"go.yaml.in/yaml/v3"
)

// RuleConfig is one rule as it was written. Rules are made by decoding YAML.
type RuleConfig struct {
	Name string
	Line int // where it begins in the file it came from

	node *yaml.Node // as it was written, for MarshalYAML
	ruleSpec
}

// MarshalYAML gives the rule as it was written.
func (rc RuleConfig) MarshalYAML() (any, error) { return rc.node, nil }

// The types below mirror rules.yaml, whose head says what each key means.

type ruleSpec struct {
	about, namespace, like string
	life                   lifeSpec
	when                   condSpec
	requests               []stepSpec
}

type lifeSpec struct {
	standard, min, max, margin time.Duration // negative: not given
}

type stepSpec struct {
	line      int
	name      string
	when      condSpec
	phase     string
	keys      []keySpec
	steer     *keySpec
	transport string
	poll      bool
	learn     *learnSpec
	ends      endsSpec
	lost      *lostSpec
}

type condSpec struct {
	line    int
	methods []string
	paths   []string
	hosts   []string
	query   []fieldSpec
	header  []fieldSpec
	upgrade *bool
	any     []condSpec
}

// empty reports whether the condition always holds.
func (c *condSpec) empty() bool {
	return len(c.methods)+len(c.paths)+len(c.hosts)+len(c.query)+len(c.header)+len(c.any) == 0 && c.upgrade == nil
}

// fieldSpec is what a query parameter or header may be.
type fieldSpec struct {
	name string
	alts []alternative
}

type alternative struct {
	op   op
	text string
}

type op uint8

const (
	opPresent  op = iota // there, and not empty
	opAbsent             // not there, or empty
	opEqual              // query: the value; header: "=value"
	opContains           // header: somewhere in the value, ignoring case
	opAtLeast            // header: ">=value", in the order of bytes
)

type keySpec struct {
	line  int
	from  keySource
	name  string // of the parameter, header, cookie or field
	in    string // extractor for what is inside: "", "bayeux", "json", "form"
	chars string
	min   int
}

type keySource uint8

const (
	fromQuery keySource = iota
	fromHeader
	fromCookie
	fromPath
	fromAddress
	fromClient
	fromBody
)

var keySourceNames = [...]string{"query", "header", "cookie", "path", "address", "client", "body"}

type learnSpec struct {
	line   int
	header string
	body   string   // "engine.io", "json", "bayeux", "text", "parts"
	fields []string // the first that is there
	only   []onlySpec
	life   []string // fields to sum
	unit   time.Duration
	status []int
	kind   string // content type
}

// onlySpec is a field that must have this value.
type onlySpec struct{ field, value string }

type endsSpec struct {
	always   bool
	request  string
	response string
	status   []int
}

type lostSpec struct {
	line     int
	status   int
	kind     string
	cors     bool
	headers  [][2]string
	callback []string
	body     string
}
