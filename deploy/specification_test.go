package deploy

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"
)

// specification is AWS's own description of CloudFormation's resources, as the npm
// package @aws-cdk/aws-service-spec carries it.
type specification struct {
	resources map[string]*specType // by AWS::EC2::Subnet
	types     map[string]*specType // by id
}

type specType struct {
	ID         string                  `json:"$id"`
	Name       string                  `json:"cloudFormationType"`
	Properties map[string]specProperty `json:"properties"`
	Attributes map[string]struct{}     `json:"attributes"`
}

type specProperty struct {
	Type     valueType `json:"type"`
	Required bool      `json:"required"`
}

type valueType struct {
	Kind      string      `json:"type"` // string, integer, array, map, ref, union, json, ...
	Element   *valueType  `json:"element"`
	Types     []valueType `json:"types"`
	Reference struct {
		ID string `json:"$ref"`
	} `json:"reference"`
}

// loadSpecification reads the package, which npm installs from the lock file when
// it is not there.
var loadSpecification = sync.OnceValues(func() (*specification, error) {
	dir := filepath.Join("testdata", "specification")
	path := filepath.Join(dir, "node_modules", "@aws-cdk", "aws-service-spec", "db.json.gz")
	if _, err := os.Stat(path); err != nil {
		npm := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
		npm.Dir = dir
		if out, err := npm.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("npm ci in deploy/%s: %w\n%s", dir, err, out)
		}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	var db struct {
		Schema struct {
			Resource, TypeDefinition struct {
				Entities []*specType `json:"entities"`
			}
		} `json:"schema"`
	}
	if err := json.NewDecoder(unpacked).Decode(&db); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s := &specification{map[string]*specType{}, map[string]*specType{}}
	for _, r := range db.Schema.Resource.Entities {
		s.resources[r.Name] = r
	}
	for _, d := range db.Schema.TypeDefinition.Entities {
		s.types[d.ID] = d
	}
	if len(s.resources) < 1000 || len(s.types) < 1000 {
		return nil, fmt.Errorf("%s has %d resources and %d types only; its form has changed", path, len(s.resources), len(s.types))
	}
	return s, nil
})

func awsSpecification(t *testing.T) *specification {
	t.Helper()
	s, err := loadSpecification()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// specCheck compares values with the specification.
type specCheck struct {
	*specification
	t *testing.T
	// name turns a property's name as written into the specification's.
	name func(string) string
	file string
}

func (c *specCheck) errorf(n *yaml.Node, format string, args ...any) {
	c.t.Helper()
	c.t.Errorf("%s:%d: %s", c.file, n.Line, fmt.Sprintf(format, args...))
}

// object checks the properties of a mapping.
func (c *specCheck) object(n *yaml.Node, what string, known map[string]specProperty) {
	c.t.Helper()
	if n.Kind != yaml.MappingNode {
		c.errorf(n, "%s must be a mapping", what)
		return
	}
	given := map[string]bool{}
	for key, value := range pairs(n) {
		name := c.name(key.Value)
		p, ok := known[name]
		if !ok {
			c.errorf(key, "%s has no property %s", what, key.Value)
			continue
		}
		given[name] = true
		c.value(value, key.Value, p.Type)
	}
	for name, p := range known {
		if p.Required && !given[name] {
			c.errorf(n, "%s lacks %s", what, name)
		}
	}
}

// value checks one value; what a function will yield is taken on trust.
func (c *specCheck) value(n *yaml.Node, what string, want valueType) {
	c.t.Helper()
	if fn, args := intrinsic(n); fn != "" {
		if fn == "If" && len(args.Content) == 3 {
			c.value(args.Content[1], what, want)
			c.value(args.Content[2], what, want)
		}
		return
	}
	switch want.Kind {
	case "ref":
		c.object(n, what, c.types[want.Reference.ID].Properties)
	case "array":
		if n.Kind != yaml.SequenceNode {
			c.errorf(n, "%s must be a list", what)
			return
		}
		for _, e := range n.Content {
			c.value(e, what, *want.Element)
		}
	case "map":
		for _, v := range pairs(n) {
			c.value(v, what, *want.Element)
		}
	case "tag":
		for key := range pairs(n) {
			if !strings.Contains(" key value propagateAtLaunch ", " "+lowerFirst(key.Value)+" ") {
				c.errorf(key, "a tag has no %s", key.Value)
			}
		}
	case "union", "json":
	default:
		c.scalar(n, what, want.Kind)
	}
}

func (c *specCheck) scalar(n *yaml.Node, what, kind string) {
	c.t.Helper()
	wrong := n.Kind != yaml.ScalarNode
	switch kind {
	case "integer":
		wrong = wrong || n.Tag != "!!int"
	case "number":
		wrong = wrong || n.Tag != "!!int" && n.Tag != "!!float"
	case "boolean":
		wrong = wrong || n.Tag != "!!bool"
	case "string":
		wrong = wrong || n.Tag != "!!str"
	}
	if wrong {
		c.errorf(n, "%s must be of type %s, not %q", what, kind, n.Value)
	}
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }
func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
