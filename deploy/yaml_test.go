package deploy

import (
	"iter"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// readYAML parses one YAML or JSON document.
func readYAML(t *testing.T, path string) *yaml.Node {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(src, &doc); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return doc.Content[0]
}

// pairs goes over the keys and values of a mapping; other nodes have none.
func pairs(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(key, value *yaml.Node) bool) {
		if n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

// at follows a path of keys; nil where it ends early.
func at(n *yaml.Node, path ...string) *yaml.Node {
	for _, step := range path {
		var next *yaml.Node
		for key, value := range pairs(n) {
			if key.Value == step {
				next = value
			}
		}
		n = next
	}
	return n
}

// text is the scalar at a path.
func text(t *testing.T, n *yaml.Node, path ...string) string {
	t.Helper()
	found := at(n, path...)
	if found == nil || found.Kind != yaml.ScalarNode {
		t.Fatalf("there is no %s", strings.Join(path, "."))
	}
	return found.Value
}

// intrinsic tells whether a node is a function of CloudFormation, in its short form
// (!Sub) or its long one (Fn::Sub), and returns its name and arguments.
func intrinsic(n *yaml.Node) (string, *yaml.Node) {
	if strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") {
		return n.Tag[1:], n
	}
	if n.Kind == yaml.MappingNode && len(n.Content) == 2 {
		key := n.Content[0].Value
		if key == "Ref" || strings.HasPrefix(key, "Fn::") {
			return strings.TrimPrefix(key, "Fn::"), n.Content[1]
		}
	}
	return "", nil
}
