package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// module is one folder of Terraform files.
type module struct {
	dir    string
	blocks []*hclsyntax.Block // of the top, in all files
	locals map[string]hclsyntax.Expression
	byAddr map[string]*hclsyntax.Block // var.x, module.x, output.x, aws_lb.x, data.aws_subnet.x
}

// loadModule parses every file of a folder.
func loadModule(t *testing.T, dir string) *module {
	t.Helper()
	m := &module{dir: dir, locals: map[string]hclsyntax.Expression{}, byAddr: map[string]*hclsyntax.Block{}}
	files, err := filepath.Glob(filepath.Join(dir, "*.tf"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no Terraform files (%v)", dir, err)
	}
	parser := hclparse.NewParser()
	for _, name := range files {
		file, diags := parser.ParseHCLFile(name)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		for _, b := range file.Body.(*hclsyntax.Body).Blocks {
			m.add(t, b)
		}
	}
	return m
}

func (m *module) add(t *testing.T, b *hclsyntax.Block) {
	t.Helper()
	m.blocks = append(m.blocks, b)
	addr := ""
	switch b.Type {
	case "locals":
		for name, attr := range b.Body.Attributes {
			if _, twice := m.locals[name]; twice {
				t.Errorf("%s: local.%s is there twice", attr.SrcRange, name)
			}
			m.locals[name] = attr.Expr
		}
		return
	case "resource":
		addr = strings.Join(b.Labels, ".")
	case "data", "ephemeral":
		addr = b.Type + "." + strings.Join(b.Labels, ".")
	case "variable":
		addr = "var." + b.Labels[0]
	case "module", "output":
		addr = b.Type + "." + b.Labels[0]
	default:
		return
	}
	if _, twice := m.byAddr[addr]; twice {
		t.Errorf("%s: %s is there twice", b.DefRange(), addr)
	}
	m.byAddr[addr] = b
}

// of returns the blocks of a type.
func (m *module) of(blockType string) []*hclsyntax.Block {
	var found []*hclsyntax.Block
	for _, b := range m.blocks {
		if b.Type == blockType {
			found = append(found, b)
		}
	}
	return found
}

// reference is where an expression names something.
type reference struct {
	steps []string // aws_lb this dns_name; indexes left out
	in    *hclsyntax.Block
	at    hcl.Range
}

func (r reference) String() string { return fmt.Sprintf("%s: %s", r.at, strings.Join(r.steps, ".")) }

// references lists what all expressions of a body name, but for the names that
// dynamic blocks bring along.
func references(top *hclsyntax.Block) []reference {
	var all []reference
	var walk func(body *hclsyntax.Body, bound map[string]bool)
	walk = func(body *hclsyntax.Body, bound map[string]bool) {
		for name, attr := range body.Attributes {
			if name == "ignore_changes" || top.Type == "variable" && name == "type" {
				continue // words, not references
			}
			for _, tr := range hclsyntax.Variables(attr.Expr) {
				if bound[tr.RootName()] {
					continue
				}
				r := reference{in: top, at: tr.SourceRange()}
				for _, step := range tr {
					switch s := step.(type) {
					case hcl.TraverseRoot:
						r.steps = append(r.steps, s.Name)
					case hcl.TraverseAttr:
						r.steps = append(r.steps, s.Name)
					}
				}
				all = append(all, r)
			}
		}
		for _, b := range body.Blocks {
			inner := bound
			if b.Type == "dynamic" {
				inner = map[string]bool{b.Labels[0]: true}
				for name := range bound {
					inner[name] = true
				}
			}
			walk(b.Body, inner)
		}
	}
	walk(top.Body, nil)
	return all
}

// scope holds the defaults of the variables, and the locals that follow from them
// without asking AWS.
func (m *module) scope(t *testing.T) *hcl.EvalContext {
	t.Helper()
	ctx := &hcl.EvalContext{Functions: map[string]function.Function{
		"coalesce":   stdlib.CoalesceFunc,
		"tostring":   stdlib.MakeToFunc(cty.String),
		"jsonencode": stdlib.JSONEncodeFunc,
	}, Variables: map[string]cty.Value{}}
	vars := map[string]cty.Value{}
	for _, b := range m.of("variable") {
		if d := b.Body.Attributes["default"]; d != nil {
			v, diags := d.Expr.Value(nil)
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			vars[b.Labels[0]] = v
		}
	}
	ctx.Variables["var"] = cty.ObjectVal(vars)
	locals := map[string]cty.Value{}
	for range m.locals { // as often as one may wait for another
		for name, expr := range m.locals {
			if v, diags := expr.Value(ctx); !diags.HasErrors() {
				locals[name] = v
			}
		}
		ctx.Variables["local"] = cty.ObjectVal(locals)
	}
	return ctx
}

// number evaluates an attribute, named by the path of its blocks.
func (m *module) number(t *testing.T, addr string, path ...string) int {
	t.Helper()
	b := m.byAddr[addr]
	if b == nil {
		t.Fatalf("%s has no %s", m.dir, addr)
	}
	body := b.Body
	for _, step := range path[:len(path)-1] {
		i := 0
		for i < len(body.Blocks) && body.Blocks[i].Type != step {
			i++
		}
		if i == len(body.Blocks) {
			t.Fatalf("%s has no block %s", addr, step)
		}
		body = body.Blocks[i].Body
	}
	attr := body.Attributes[path[len(path)-1]]
	if attr == nil {
		t.Fatalf("%s has no %s", addr, strings.Join(path, "."))
	}
	v, diags := attr.Expr.Value(m.scope(t))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return asInt(t, v)
}

// local evaluates a local that is a number.
func (m *module) local(t *testing.T, name string) int {
	t.Helper()
	locals := m.scope(t).Variables["local"].AsValueMap()
	v, ok := locals[name]
	if !ok {
		t.Fatalf("local.%s is not there, or does not follow from the defaults", name)
	}
	return asInt(t, v)
}

func asInt(t *testing.T, v cty.Value) int {
	t.Helper()
	v, err := convert.Convert(v, cty.Number)
	if err != nil || v.IsNull() {
		t.Fatalf("%#v is not a number", v)
	}
	n, _ := v.AsBigFloat().Int64()
	return int(n)
}

// render fills in one of the templates.
func (m *module) render(t *testing.T, name string, vars map[string]cty.Value) string {
	t.Helper()
	path := filepath.Join(m.dir, "templates", name)
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	expr, diags := hclsyntax.ParseTemplate(src, path, hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for _, tr := range expr.Variables() {
		if _, ok := vars[tr.RootName()]; !ok {
			t.Errorf("%s: %s is not given", tr.SourceRange(), tr.RootName())
		}
	}
	v, diags := expr.Value(&hcl.EvalContext{Variables: vars})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return v.AsString()
}
