package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const prometheusDir = "../prometheus"

// ruleFiles are the files of rules, and the job that each is about.
var ruleFiles = map[string]string{"edge.rules.yml": "dsproxy", "nodes.rules.yml": "deepstream"}

type rule struct {
	Record, Alert, Expr, For string
	Labels, Annotations      map[string]string
}

func readRules(t *testing.T, file string) (all []rule) {
	t.Helper()
	var doc struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	readStrict(t, filepath.Join(prometheusDir, file), &doc)
	for _, g := range doc.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 20 {
		t.Fatalf("%s has %d rules", file, len(all))
	}
	return all
}

func readStrict(t *testing.T, path string, to any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(b, to); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(program(t, "promtool"), args...)
	cmd.Dir = prometheusDir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPromtoolAcceptsRulesAndConfiguration(t *testing.T) {
	for file := range ruleFiles {
		promtool(t, "check", "rules", "--lint=all", "--lint-fatal", file)
	}
	promtool(t, "check", "config", withoutEC2(t, "scrape.yml"))
}

// withoutEC2 writes a copy of a configuration that names addresses in place of
// looking them up in EC2, which our promtool does not know. What was looked up is
// compared with the fields that we use of Prometheus' documentation.
func withoutEC2(t *testing.T, file string) string {
	t.Helper()
	var doc map[string]any
	readStrict(t, filepath.Join(prometheusDir, file), &doc)
	found := 0
	for _, c := range doc["scrape_configs"].([]any) {
		job := c.(map[string]any)
		ec2, ok := job["ec2_sd_configs"]
		if !ok {
			continue
		}
		found++
		b, err := yaml.Marshal(ec2)
		if err != nil {
			t.Fatal(err)
		}
		var used []struct {
			Region  string
			Port    int
			Filters []struct {
				Name   string
				Values []string
			}
		}
		if err := yaml.UnmarshalStrict(b, &used); err != nil || used[0].Region == "" || used[0].Port == 0 || len(used[0].Filters) == 0 {
			t.Errorf("%s: ec2_sd_configs of %v: %+v (%v)", file, job["job_name"], used, err)
		}
		delete(job, "ec2_sd_configs")
		job["static_configs"] = []any{map[string]any{"targets": []string{"10.0.0.1:9180"}}}
	}
	if found == 0 {
		t.Errorf("%s looks nothing up in EC2", file)
	}
	var rules []any
	for _, r := range doc["rule_files"].([]any) {
		path, err := filepath.Abs(filepath.Join(prometheusDir, r.(string)))
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, path)
	}
	doc["rule_files"] = rules
	b, err := yaml.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), file)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPromtoolRunsUnitTests(t *testing.T) {
	args := []string{"test", "rules"}
	for _, f := range unitTests(t) {
		args = append(args, "tests/"+filepath.Base(f))
	}
	promtool(t, args...)
}

// Who is woken reads what is wrong, and where it stands what to do.
func TestAlertsSayWhatToDo(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(prometheusDir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	book, names := string(b), []string{}
	for file := range ruleFiles {
		for _, r := range readRules(t, file) {
			if r.Alert == "" {
				continue
			}
			names = append(names, r.Alert)
			if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) {
				t.Errorf("%s has the severity %q", r.Alert, r.Labels["severity"])
			}
			for _, a := range []string{"summary", "description"} {
				if len(r.Annotations[a]) < 15 {
					t.Errorf("%s has the %s %q", r.Alert, a, r.Annotations[a])
				}
			}
			if want := "/deploy/prometheus/README.md#" + strings.ToLower(r.Alert); !strings.HasSuffix(r.Annotations["runbook_url"], want) {
				t.Errorf("%s has the runbook_url %q", r.Alert, r.Annotations["runbook_url"])
			}
			_, text, found := strings.Cut(book, "\n### "+r.Alert+"\n")
			text, _, _ = strings.Cut(text, "\n### ")
			if !found || !strings.Contains(text, "*"+r.Labels["severity"]+".*") || len(text) < 100 {
				t.Errorf("README.md does not say what to do for %s, or another severity", r.Alert)
			}
		}
	}
	if told := strings.Count(book, "\n### "); told != len(names) {
		t.Errorf("README.md tells of %d alerts, there are %d", told, len(names))
	}
}

// adapterMetrics are the metrics that prometheus-adapter makes for HPAs.
func adapterMetrics(t *testing.T) (names []string) {
	t.Helper()
	for _, r := range readAdapter(t) {
		names = append(names, r.Name.As)
	}
	return names
}

type adapterRule struct {
	SeriesQuery string
	Resources   struct {
		Overrides map[string]struct{ Resource string }
	}
	Name         struct{ Matches, As string }
	MetricsQuery string
}

func readAdapter(t *testing.T) []adapterRule {
	t.Helper()
	var doc struct {
		Rules struct {
			Default bool
			Custom  []adapterRule
		}
	}
	readStrict(t, filepath.Join(prometheusDir, "adapter.values.yml"), &doc)
	return doc.Rules.Custom
}
