package check

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// board is what the tests look at in the JSON of a dashboard.
type board struct {
	UID, Title    string
	SchemaVersion int
	Panels        []panel
	Templating    struct {
		List []struct{ Name, Type, Definition string }
	}
	Annotations struct{ List []struct{ Name, Expr string } }
}

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	Datasource               struct{ Type, UID string }
	FieldConfig              struct {
		Defaults struct {
			Unit       string
			Thresholds struct{ Steps []json.RawMessage }
		}
	}
	Targets []struct{ RefID, Expr, LegendFormat string }
}

const grafanaDir = "../grafana"

func dashboards(t *testing.T) map[string]*board {
	t.Helper()
	files, err := filepath.Glob(grafanaDir + "/*.json")
	if err != nil || len(files) != 2 {
		t.Fatalf("there are %v (%v)", files, err)
	}
	all := map[string]*board{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d := new(board)
		if err := json.Unmarshal(b, d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[filepath.Base(file)] = d
	}
	return all
}

var labelValues = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)

// expressions are all of a dashboard: of the panels, with the labels that their
// legends show, of the variables and of the annotations.
func (b *board) expressions(file string) (all []expression) {
	for _, p := range b.Panels {
		for _, target := range p.Targets {
			all = append(all, expression{file + ": " + p.Title, target.Expr})
		}
	}
	for _, v := range b.Templating.List {
		if m := labelValues.FindStringSubmatch(v.Definition); m != nil {
			all = append(all, expression{file + ": variable " + v.Name, "count by (" + m[2] + ") (" + m[1] + ")"})
		}
	}
	for _, a := range b.Annotations.List {
		all = append(all, expression{file + ": annotation " + a.Name, a.Expr})
	}
	return all
}

// Grafana's own types take the JSON, every field of it.
func TestDashboardsFitGrafana(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	for file := range dashboards(t) {
		b, err := os.ReadFile(filepath.Join(grafanaDir, file))
		if err != nil {
			t.Fatal(err)
		}
		//lint:ignore SA1019 the dashboards are of the first form, which every Grafana reads
		var d dashboard.Dashboard
		err = d.UnmarshalJSONStrict(b)
		// A list of errors comes back even where it is empty.
		if list, ok := err.(cog.BuildErrors); err != nil && (!ok || len(list) > 0) {
			t.Errorf("%s: %v", file, err)
		}
		if err := d.Validate(); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestDashboardsAreWhole(t *testing.T) {
	uids := map[string]bool{}
	for file, d := range dashboards(t) {
		if uids[d.UID] || d.UID == "" || d.SchemaVersion < 39 {
			t.Errorf("%s has the uid %q and the schema %d", file, d.UID, d.SchemaVersion)
		}
		uids[d.UID] = true
		ids := map[int]bool{}
		for i, p := range d.Panels {
			if ids[p.ID] || p.ID == 0 {
				t.Errorf("%s: %s has the id %d", file, p.Title, p.ID)
			}
			ids[p.ID] = true
			checkPlace(t, file, d.Panels, i)
			if p.Type == "row" {
				continue
			}
			if p.Title == "" || len(p.Description) < 10 || p.Datasource.UID != "${datasource}" {
				t.Errorf("%s: %q has the description %q and the data source %s", file, p.Title, p.Description, p.Datasource.UID)
			}
			if p.FieldConfig.Defaults.Unit == "" && slices.Contains([]string{"timeseries", "stat"}, p.Type) {
				t.Errorf("%s: %s has no unit", file, p.Title)
			}
			if p.Type == "stat" && len(p.FieldConfig.Defaults.Thresholds.Steps) == 0 {
				t.Errorf("%s: %s has no thresholds", file, p.Title)
			}
		}
		names := ""
		for _, v := range d.Templating.List {
			names += v.Name + " "
		}
		if !strings.HasPrefix(names, "datasource namespace fleet job instance ") {
			t.Errorf("%s has the variables %s", file, names)
		}
	}
}

// checkPlace wants a panel within the 24 columns, below its row, and on no other.
func checkPlace(t *testing.T, file string, all []panel, i int) {
	t.Helper()
	p := all[i].GridPos
	if p.X < 0 || p.W < 1 || p.X+p.W > 24 || p.H < 1 {
		t.Errorf("%s: %s lies at %+v", file, all[i].Title, p)
	}
	for _, other := range all[i+1:] {
		o := other.GridPos
		if p.X < o.X+o.W && o.X < p.X+p.W && p.Y < o.Y+o.H && o.Y < p.Y+p.H {
			t.Errorf("%s: %s lies on %s", file, all[i].Title, other.Title)
		}
		if cmp.Compare(o.Y, p.Y) < 0 {
			t.Errorf("%s: %s comes after %s and lies above it", file, other.Title, all[i].Title)
		}
	}
}

// A legend shows labels that its expression leaves.
func TestLegendsShowLabels(t *testing.T) {
	legend := regexp.MustCompile(`\{\{(\w+)\}\}`)
	for file, d := range dashboards(t) {
		for _, p := range d.Panels {
			seen := map[string]bool{}
			for _, target := range p.Targets {
				if seen[target.RefID] {
					t.Errorf("%s: %s has two queries %s", file, p.Title, target.RefID)
				}
				seen[target.RefID] = true
				parsed := expression{file + ": " + p.Title, target.Expr}.parse(t)
				for _, m := range legend.FindAllStringSubmatch(target.LegendFormat, -1) {
					if parsed != nil && !outLabels(series{}, parsed)[m[1]] {
						t.Errorf("%s: %s: the legend shows %s, which %s does not have", file, p.Title, m[1], target.Expr)
					}
				}
			}
		}
	}
}
