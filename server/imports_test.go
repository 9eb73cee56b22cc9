package server

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// layers says which packages of the node a package may import; imports of others
// would make a circle of the layers sooner or later.
var layers = map[string][]string{
	"message":        {},
	"bus":            {},
	"interest":       {},
	"store":          {},
	"auth":           {},
	"socket":         {},
	"wire":           {"message"},
	"session":        {"message", "wire"},
	"hub":            {"message", "session"},
	"topic":          {"bus", "interest", "message", "session", "wire"},
	"topic/listen":   {"interest", "message", "session", "topic"},
	"topic/event":    {"hub", "interest", "message", "session", "topic", "topic/listen"},
	"topic/record":   {"hub", "interest", "message", "session", "store", "topic", "topic/listen", "wire"},
	"topic/rpc":      {"hub", "interest", "message", "session", "topic"},
	"topic/presence": {"hub", "interest", "message", "session", "topic"},
	"endpoint":       {"session", "socket", "wire"},
	"": {"auth", "bus", "endpoint", "interest", "message", "session", "store", "topic", "topic/event", "topic/listen",
		"topic/presence", "topic/record", "topic/rpc", "wire"},
}

func TestLayers(t *testing.T) {
	const module = "github.com/dsproxy/dsproxy/"
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		name := strings.TrimPrefix(strings.TrimPrefix(words[0], module+"server"), "/")
		allowed, ok := layers[name]
		for _, imported := range words[1:] {
			inside, ours := strings.CutPrefix(imported, module+"server/")
			switch {
			case !ours && !strings.HasPrefix(imported, module):
			case !ours && imported != module+"server":
				t.Errorf("server/%s imports %s: the node knows nothing of the proxy", name, imported)
			case ok && !slices.Contains(allowed, inside):
				t.Errorf("server/%s may not import %s", name, imported)
			}
		}
	}
}
