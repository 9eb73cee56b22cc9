package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Dependencies point one way: a package may use those listed for it, and of
// the rest of this module nothing. Nodes are for the demo alone.
func TestImportsPointOneWay(t *testing.T) {
	const module = "github.com/dsproxy/dsproxy/"
	allowed := map[string][]string{
		"cmd/dsproxy": {"proxy", "affinity", "backend", "backend/gossip", "proxy/http1", "proxy/tunnel", "proxy/xconnect",
			"cmd/dsproxy/demo", "cmd/internal/service", "server/..."},
		"cmd/internal/service": {},
		"cmd/dsproxy/demo":     {"backend", "backend/gossip", "server/..."},
		"proxy":                {"affinity", "backend", "backend/gossip", "proxy/http1", "proxy/tunnel", "proxy/xconnect"},
		"proxy/http1":          {},
		"proxy/tunnel":         {},
		"proxy/xconnect":       {},
		"affinity":             {},
		"backend":              {},
		"backend/gossip":       {"backend"},
	}
	for pkg, may := range allowed {
		for _, dep := range deps(t, module+pkg) {
			if own, ok := strings.CutPrefix(dep, module); ok && own != pkg && !slices.ContainsFunc(may, covers(own)) {
				t.Errorf("%s uses %s", pkg, own)
			}
		}
	}
	for _, dep := range goList(t, "-f", `{{join .Imports "\n"}}`, module+"cmd/dsproxy") {
		if strings.HasPrefix(dep, module+"server") {
			t.Errorf("cmd/dsproxy uses %s: nodes are for its demo alone", dep)
		}
	}
	for _, pkg := range goList(t, module+"server/...", module+"cmd/deepstream") {
		for _, dep := range deps(t, pkg) {
			own := strings.TrimPrefix(dep, module)
			if own == "affinity" || own == "proxy" || strings.HasPrefix(own, "proxy/") {
				t.Errorf("%s uses %s: the node must not know the proxy", pkg, own)
			}
		}
	}
}

// covers tells whether an entry of the table allows a package; server/... allows
// server and all below it.
func covers(own string) func(entry string) bool {
	return func(entry string) bool {
		tree, all := strings.CutSuffix(entry, "/...")
		return own == tree || all && strings.HasPrefix(own, tree+"/")
	}
}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	return strings.Fields(string(out))
}

func deps(t *testing.T, pkg string) []string { return goList(t, "-deps", pkg) }
