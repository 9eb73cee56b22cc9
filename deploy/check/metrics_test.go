package check

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// series are the metrics of a fleet: the values of each label, by name of the
// metric and of the label.
type series map[string]map[string]map[string]bool

func (s series) add(name string, set map[string]string) {
	if s[name] == nil {
		s[name] = map[string]map[string]bool{}
	}
	for label, value := range set {
		if s[name][label] == nil {
			s[name][label] = map[string]bool{}
		}
		s[name][label][value] = true
	}
}

// targetLabels are those that Prometheus adds to what it scrapes.
var targetLabels = []string{"namespace", "fleet", "job", "instance", "pod", "zone"}

// limits is where the limits are named: one shows in the metrics once it is hit.
const limits = "../../proxy/metrics.go"

// expression is one of PromQL, and where it stands.
type expression struct{ where, text string }

// placeholders are what Grafana and prometheus-adapter fill in.
var placeholders = strings.NewReplacer(
	"$__rate_interval", "5m", "<<.GroupBy>>", "pod", "<<.LabelMatchers>>", `namespace="live"`, "\n", " ")

func (e expression) parse(t *testing.T) parser.Expr {
	t.Helper()
	p := parser.NewParser(parser.Options{})
	parsed, err := p.ParseExpr(placeholders.Replace(e.text))
	if err != nil {
		t.Errorf("%s: %s: %v", e.where, e.text, err)
		return nil
	}
	return parsed
}

// The rules, the dashboards and the adapter speak of metrics, labels and values that
// a running fleet has.
func TestExpressionsNameLiveMetrics(t *testing.T) {
	live := startFleet(t).metrics(t)
	var all []expression
	for _, file := range slices.Sorted(maps.Keys(ruleFiles)) {
		rules := readRules(t, file)
		for _, r := range rules {
			all = append(all, expression{file + ": " + r.Record + r.Alert, r.Expr})
		}
		for _, r := range rules { // what they record is there for others
			if e := (expression{file, r.Expr}); r.Record != "" {
				recorded := map[string]string{}
				for label := range outLabels(live, e.parse(t)) {
					recorded[label] = ""
				}
				live.add(r.Record, recorded)
			}
		}
	}
	for _, r := range readAdapter(t) {
		all = append(all, expression{"adapter.values.yml: " + r.Name.As, strings.ReplaceAll(r.MetricsQuery, "<<.Series>>", metricOf(t, r.SeriesQuery))},
			expression{"adapter.values.yml: " + r.Name.As, r.SeriesQuery})
	}
	for file, d := range dashboards(t) {
		all = append(all, d.expressions(file)...)
	}
	if len(all) < 150 {
		t.Fatalf("%d expressions", len(all))
	}
	for _, e := range all {
		if parsed := e.parse(t); parsed != nil {
			checkExpression(t, live, e, parsed)
		}
	}
	for _, file := range []string{"../prometheus/README.md", "../grafana/README.md", "../kubernetes/README.md"} {
		checkProse(t, live, file)
	}
}

func metricOf(t *testing.T, query string) string {
	t.Helper()
	name, _, ok := strings.Cut(query, "{")
	if !ok {
		t.Fatalf("seriesQuery %q names no metric", query)
	}
	return name
}

func checkExpression(t *testing.T, live series, e expression, parsed parser.Expr) {
	t.Helper()
	parser.Inspect(parsed, func(n parser.Node, path []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			checkSelector(t, live, e, n)
		case *parser.AggregateExpr:
			has := outLabels(live, n.Expr)
			for _, label := range n.Grouping {
				if !has[label] {
					t.Errorf("%s: %s: there is no label %s to group by", e.where, n, label)
				}
			}
		case *parser.BinaryExpr:
			if n.VectorMatching == nil {
				break
			}
			for _, label := range n.VectorMatching.MatchingLabels {
				if !outLabels(live, n.LHS)[label] || !outLabels(live, n.RHS)[label] {
					t.Errorf("%s: %s: not both sides have the label %s", e.where, n, label)
				}
			}
		}
		return nil
	})
}

func checkSelector(t *testing.T, live series, e expression, s *parser.VectorSelector) {
	t.Helper()
	has, ok := live[s.Name]
	if !ok {
		t.Errorf("%s: no part of the fleet has the metric %s", e.where, s.Name)
		return
	}
	for _, m := range s.LabelMatchers {
		if m.Name == model.MetricNameLabel || slices.Contains(targetLabels, m.Name) {
			continue
		}
		values, ok := has[m.Name]
		if !ok {
			t.Errorf("%s: %s has no label %s", e.where, s.Name, m.Name)
			continue
		}
		for _, value := range alternatives(m) {
			if !values[value] && !(m.Name == "limit" && inCode(t, limits, value)) {
				t.Errorf("%s: %s has no %s=%q; it has %v", e.where, s.Name, m.Name, value, slices.Sorted(maps.Keys(values)))
			}
		}
	}
}

// alternatives are the values that a matcher names.
func alternatives(m *labels.Matcher) []string {
	switch {
	case strings.HasPrefix(m.Value, "$"), m.Value == "": // a variable of Grafana; any
		return nil
	case m.Type == labels.MatchRegexp || m.Type == labels.MatchNotRegexp:
		return strings.Split(m.Value, "|")
	}
	return []string{m.Value}
}

// inCode tells whether a value stands in the code that sets it.
func inCode(t *testing.T, file, value string) bool {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(b), `= "`+value+`"`)
}

// outLabels are the labels that the result of an expression has.
func outLabels(live series, e parser.Expr) map[string]bool {
	out := map[string]bool{}
	switch e := e.(type) {
	case *parser.VectorSelector:
		for label := range live[e.Name] {
			out[label] = true
		}
		for _, label := range targetLabels {
			out[label] = true
		}
	case *parser.MatrixSelector:
		return outLabels(live, e.VectorSelector)
	case *parser.SubqueryExpr:
		return outLabels(live, e.Expr)
	case *parser.ParenExpr:
		return outLabels(live, e.Expr)
	case *parser.UnaryExpr:
		return outLabels(live, e.Expr)
	case *parser.AggregateExpr:
		inner := outLabels(live, e.Expr)
		switch {
		case e.Op == parser.TOPK || e.Op == parser.BOTTOMK:
			return inner
		case e.Without:
			for _, label := range e.Grouping {
				delete(inner, label)
			}
			return inner
		}
		for _, label := range e.Grouping {
			out[label] = true
		}
	case *parser.BinaryExpr:
		out = outLabels(live, e.LHS)
		if len(out) == 0 || e.Op == parser.LOR {
			maps.Copy(out, outLabels(live, e.RHS))
		}
	case *parser.Call:
		for _, arg := range e.Args {
			maps.Copy(out, outLabels(live, arg))
		}
		if e.Func.Name == "histogram_quantile" {
			delete(out, "le")
		}
	}
	return out
}

var metricName = regexp.MustCompile(`\b(?:dsproxy|deepstream)_[a-z0-9_]+\b`)

// made are names in prose that Prometheus does not have: of prometheus-adapter.
var made = []string{"dsproxy_sessions_held"}

func checkProse(t *testing.T, live series, file string) {
	t.Helper()
	b, err := os.ReadFile(filepath.FromSlash(file))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range metricName.FindAllString(string(b), -1) {
		if live[name] == nil && !slices.Contains(made, name) {
			t.Errorf("%s: there is no metric %s", file, name)
		}
	}
}
