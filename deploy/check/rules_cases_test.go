package check

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

// unitTest is what the tests look at in a file for `promtool test rules`.
type unitTest struct {
	RuleFiles          []string `json:"rule_files"`
	EvaluationInterval string   `json:"evaluation_interval"`
	Tests              []struct {
		Name, Interval string
		InputSeries    []struct{ Series, Values string } `json:"input_series"`
		PromqlExprTest []map[string]any                  `json:"promql_expr_test"`
		AlertRuleTest  []struct {
			Alertname string
			EvalTime  string           `json:"eval_time"`
			ExpAlerts []map[string]any `json:"exp_alerts"`
		} `json:"alert_rule_test"`
	}
}

func unitTests(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(prometheusDir + "/tests/*.test.yml")
	if err != nil || len(files) < len(ruleFiles) {
		t.Fatalf("there are %v (%v)", files, err)
	}
	return files
}

// Each alert has a case in which it fires and one in which it does not, although there
// is what it looks at: below its threshold, or before its time.
func TestAlertsFireAndStaySilent(t *testing.T) {
	reads := alertInputs(t)
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, file := range unitTests(t) {
		var u unitTest
		readStrict(t, file, &u)
		for _, group := range u.Tests {
			given := map[string]bool{}
			for _, s := range group.InputSeries {
				name, _, _ := strings.Cut(s.Series, "{")
				given[name] = true
			}
			for _, c := range group.AlertRuleTest {
				switch missing := firstMissing(reads[c.Alertname], given); {
				case reads[c.Alertname] == nil:
					t.Errorf("%s: %q speaks of %s, which is no alert", file, group.Name, c.Alertname)
				case len(c.ExpAlerts) > 0:
					fires[c.Alertname] = true
				case missing == "":
					silent[c.Alertname] = true
				}
			}
		}
	}
	for alert, metrics := range reads {
		if !fires[alert] {
			t.Errorf("no test has %s fire", alert)
		}
		if !silent[alert] {
			t.Errorf("no test has %s stay silent with series of %v", alert, metrics)
		}
	}
}

// alertInputs are the metrics that each alert rests on, those of the rules that it
// reads among them.
func alertInputs(t *testing.T) map[string][]string {
	t.Helper()
	recorded, alerts := map[string][]string{}, map[string][]string{}
	for file := range ruleFiles {
		for _, r := range readRules(t, file) {
			var metrics []string
			parser.Inspect(expression{file, r.Expr}.parse(t), func(n parser.Node, _ []parser.Node) error {
				s, ok := n.(*parser.VectorSelector)
				switch {
				case !ok:
				case strings.Contains(s.Name, ":"):
					metrics = append(metrics, recorded[s.Name]...)
				case s.Name != "":
					metrics = append(metrics, s.Name)
				}
				return nil
			})
			if r.Record != "" {
				recorded[r.Record] = metrics
				continue
			}
			if len(metrics) == 0 {
				t.Errorf("%s reads no metric", r.Alert)
			}
			alerts[r.Alert] = metrics
		}
	}
	return alerts
}

func firstMissing(want []string, given map[string]bool) string {
	for _, name := range want {
		if !given[name] {
			return name
		}
	}
	return ""
}
