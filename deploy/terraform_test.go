// Package deploy holds tests of the files that users apply: that they are well
// formed, that what they name exists, and that they agree with each other and with
// the two programs.
package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

const (
	terraformDir = "terraform"
	exampleDir   = "terraform/examples/complete"
)

// argument is one that a resource takes: a value, or a block with arguments.
type argument struct {
	Required bool                `json:"required"`
	Block    map[string]argument `json:"block"`
}

// resourceSchema is what a provider says of a resource or data source.
type resourceSchema struct {
	Arguments  map[string]argument `json:"arguments"`
	Attributes []string            `json:"attributes"` // beside the arguments
}

// providerSchemas reads the arguments and attributes of all resources that the
// module uses: those of hashicorp/aws 6.25.0 and hashicorp/random 3.7.
func providerSchemas(t *testing.T) map[string]resourceSchema {
	t.Helper()
	src, err := os.ReadFile("testdata/terraform_providers.json")
	if err != nil {
		t.Fatal(err)
	}
	var schemas map[string]resourceSchema
	if err := json.Unmarshal(src, &schemas); err != nil {
		t.Fatal(err)
	}
	return schemas
}

// schemaKey is the name of a block's type in the schemas.
func schemaKey(b *hclsyntax.Block) string {
	if b.Type == "resource" {
		return b.Labels[0]
	}
	return b.Type + "." + b.Labels[0]
}

func TestTerraformIsFormatted(t *testing.T) {
	for _, dir := range []string{terraformDir, exampleDir} {
		files, _ := filepath.Glob(filepath.Join(dir, "*.tf"))
		for _, name := range files {
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if string(hclwrite.Format(src)) != string(src) {
				t.Errorf("%s is not formatted; terraform fmt does it", name)
			}
		}
	}
}

func TestTerraformReferences(t *testing.T) {
	schemas := providerSchemas(t)
	for _, dir := range []string{terraformDir, exampleDir} {
		m := loadModule(t, dir)
		used := map[string]bool{}
		for _, b := range m.blocks {
			for _, r := range references(b) {
				m.follow(t, r, used, schemas)
			}
		}
		for _, b := range m.of("variable") {
			if !used["var."+b.Labels[0]] {
				t.Errorf("%s: var.%s is used by nothing", b.DefRange(), b.Labels[0])
			}
		}
		for name, expr := range m.locals {
			if !used["local."+name] {
				t.Errorf("%s: local.%s is used by nothing", expr.Range(), name)
			}
		}
		for addr, b := range m.byAddr {
			if (b.Type == "data" || b.Type == "ephemeral") && !used[addr] {
				t.Errorf("%s: %s is used by nothing", b.DefRange(), addr)
			}
		}
	}
}

// follow checks that what a reference names exists, and notes that it is used.
func (m *module) follow(t *testing.T, r reference, used map[string]bool, schemas map[string]resourceSchema) {
	t.Helper()
	steps := r.steps
	switch steps[0] {
	case "each", "count", "path", "self":
		return
	case "local":
		if m.locals[steps[1]] == nil {
			t.Errorf("%s is not declared", r)
		}
		used["local."+steps[1]] = true
		return
	case "var", "module":
		addr := steps[0] + "." + steps[1]
		b := m.byAddr[addr]
		if b == nil {
			t.Errorf("%s is not declared", r)
			return
		}
		if r.in != b { // its own validation is no use of it
			used[addr] = true
		}
		if steps[0] == "module" && len(steps) > 2 {
			if loadModule(t, terraformDir).byAddr["output."+steps[2]] == nil {
				t.Errorf("%s is no output", r)
			}
		}
		return
	}
	n := 2
	if steps[0] == "data" || steps[0] == "ephemeral" {
		n = 3
	}
	if len(steps) < n {
		t.Errorf("%s names nothing", r)
		return
	}
	addr := strings.Join(steps[:n], ".")
	b := m.byAddr[addr]
	if b == nil {
		t.Errorf("%s is not declared", r)
		return
	}
	used[addr] = true
	if len(steps) == n {
		return
	}
	s := schemas[schemaKey(b)]
	if _, ok := s.Arguments[steps[n]]; !ok && !slices.Contains(s.Attributes, steps[n]) {
		t.Errorf("%s: %s has no such attribute", r, schemaKey(b))
	}
}

func TestTerraformArguments(t *testing.T) {
	schemas := providerSchemas(t)
	used := map[string]bool{}
	for _, dir := range []string{terraformDir, exampleDir} {
		m := loadModule(t, dir)
		for _, kind := range []string{"resource", "data", "ephemeral"} {
			for _, b := range m.of(kind) {
				s, ok := schemas[schemaKey(b)]
				if !ok {
					t.Errorf("%s: %s is not among the known resources", b.DefRange(), schemaKey(b))
					continue
				}
				used[schemaKey(b)] = true
				checkArguments(t, b.Body, s.Arguments, true)
			}
		}
	}
	for key := range schemas {
		if !used[key] {
			t.Errorf("testdata/terraform_providers.json: %s is used by no file", key)
		}
	}
}

func checkArguments(t *testing.T, body *hclsyntax.Body, known map[string]argument, top bool) {
	t.Helper()
	given := map[string]bool{}
	for name, attr := range body.Attributes {
		given[name] = true
		if top && slices.Contains([]string{"count", "for_each", "depends_on", "provider"}, name) {
			continue
		}
		if a, ok := known[name]; !ok || a.Block != nil {
			t.Errorf("%s: there is no argument %s", attr.SrcRange, name)
		}
	}
	for _, b := range body.Blocks {
		name, inner := b.Type, b.Body
		if top && name == "lifecycle" {
			continue
		}
		if name == "dynamic" {
			name = b.Labels[0]
			for _, c := range b.Body.Blocks {
				inner = c.Body // content
			}
		}
		given[name] = true
		a, ok := known[name]
		if !ok || a.Block == nil {
			t.Errorf("%s: there is no block %s", b.DefRange(), name)
			continue
		}
		checkArguments(t, inner, a.Block, false)
	}
	for name, a := range known {
		if a.Required && !given[name] {
			t.Errorf("%s: %s is missing", body.MissingItemRange(), name)
		}
	}
}

func TestTerraformVariablesAndOutputs(t *testing.T) {
	secret := regexp.MustCompile(`(token|password|secret|key)$`)
	for _, dir := range []string{terraformDir, exampleDir} {
		m := loadModule(t, dir)
		for _, b := range append(m.of("variable"), m.of("output")...) {
			if b.Body.Attributes["description"] == nil {
				t.Errorf("%s has no description", b.DefRange())
			}
		}
		for _, b := range m.of("variable") {
			name, attrs := b.Labels[0], b.Body.Attributes
			if attrs["type"] == nil {
				t.Errorf("%s: %s has no type", b.DefRange(), name)
			}
			if !secret.MatchString(name) {
				continue
			}
			if s := attrs["sensitive"]; s == nil || !literal(s.Expr).RawEquals(cty.True) {
				t.Errorf("%s: %s is not sensitive", b.DefRange(), name)
			}
			if d := attrs["default"]; d != nil && !literal(d.Expr).IsNull() {
				t.Errorf("%s: %s has a default other than null", b.DefRange(), name)
			}
		}
	}
}

// literal is the value of an expression that names nothing.
func literal(e hclsyntax.Expression) cty.Value {
	v, _ := e.Value(nil)
	return v
}

// The example gives the module what it needs and nothing that it does not know.
func TestTerraformExampleFitsModule(t *testing.T) {
	m := loadModule(t, terraformDir)
	call := loadModule(t, exampleDir).byAddr["module.fleet"]
	if src := literal(call.Body.Attributes["source"].Expr).AsString(); filepath.Join(exampleDir, src) != terraformDir {
		t.Errorf("the source %s is not the module", src)
	}
	for name := range call.Body.Attributes {
		if name != "source" && m.byAddr["var."+name] == nil {
			t.Errorf("the module has no variable %s", name)
		}
	}
	for _, b := range m.of("variable") {
		if b.Body.Attributes["default"] == nil && call.Body.Attributes[b.Labels[0]] == nil {
			t.Errorf("the example does not give %s", b.Labels[0])
		}
	}
}

// Nothing is open but what is meant to be.
func TestTerraformSecurity(t *testing.T) {
	m := loadModule(t, terraformDir)
	for _, b := range m.of("resource") {
		switch b.Labels[0] {
		case "aws_security_group":
			for _, rules := range []string{"ingress", "egress"} {
				if b.Body.Attributes[rules] != nil {
					t.Errorf("%s: rules belong in security.tf's table", b.DefRange())
				}
			}
		case "aws_launch_template":
			if v := literal(blockOf(t, b, "metadata_options").Attributes["http_tokens"].Expr).AsString(); v != "required" {
				t.Errorf("%s: IMDSv1 is let in: http_tokens = %q", b.DefRange(), v)
			}
		}
	}
	var got []string
	for name, v := range m.scope(t).Variables["local"].GetAttr("paths").AsValueMap() {
		p := v.AsValueMap()
		port, _ := p["port"].AsBigFloat().Int64()
		got = append(got, name+": "+p["from"].AsString()+" to "+p["to"].AsString()+" "+p["protocol"].AsString()+" "+strconv.FormatInt(port, 10))
	}
	slices.Sort(got)
	want := []string{
		"gossip_tcp: member to member tcp 7946",
		"gossip_udp: member to member udp 7946",
		"readiness: alb to proxy tcp 9180",
		"redis: member to redis tcp 6379",
		"requests: alb to proxy tcp 8080",
		"sessions: proxy to node tcp 6020",
	}
	if !slices.Equal(got, want) {
		t.Errorf("open paths:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func blockOf(t *testing.T, b *hclsyntax.Block, name string) *hclsyntax.Body {
	t.Helper()
	for _, inner := range b.Body.Blocks {
		if inner.Type == name {
			return inner.Body
		}
	}
	t.Fatalf("%s has no block %s", b.DefRange(), name)
	return nil
}

// What AWS would refuse when it is applied, or a machine when it boots, is refused
// by the plan.
func TestTerraformRefusesOddVariables(t *testing.T) {
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skipf("needs terraform: %v", err)
	}
	variables, err := os.ReadFile(filepath.Join(terraformDir, "variables.tf"))
	if err != nil {
		t.Fatal(err)
	}
	sha := strings.Repeat("0", 64)
	good := `vpc_id = "vpc-0123456789abcdef0"
public_subnet_ids = ["subnet-1", "subnet-2"]
private_subnet_ids = ["subnet-3", "subnet-4"]
certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1"
dsproxy_package = "https://packages.example.org/dsproxy.aarch64.rpm?X-Amz-Expires=60&X-Amz-Signature=0"
deepstream_package = "s3://packages/deepstream.aarch64.rpm"
dsproxy_package_sha256 = "` + sha + `"
deepstream_package_sha256 = "` + sha + `"
`
	dir := t.TempDir()
	for name, content := range map[string]string{"variables.tf": string(variables), "terraform.tfvars": good} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	plan := func(args ...string) string {
		cmd := exec.Command("terraform", append([]string{"plan", "-input=false", "-no-color"}, args...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err == nil {
			return "accepted"
		}
		return strings.Join(strings.Fields(strings.ReplaceAll(string(out), "│", "")), " ")
	}
	if got := plan("-var", "name=internals", "-var", "deepstream_config="+strings.Repeat("x", 8000)); got != "accepted" {
		t.Fatal(got)
	}
	for given, want := range map[string]string{
		"name=internal-fleet":                            "must not begin with internal-",
		`ingress_cidrs=["::/0"]`:                         "must be IPv4 networks",
		`ingress_cidrs=["10.0.0.1/8"]`:                   "no bits of a host",
		"dsproxy_package=s3://bucket":                    "must be s3://bucket/key",
		"deepstream_package=https://a'b":                 "must be s3://bucket/key",
		"drain_delay=12.5":                               "whole seconds",
		"architecture=x86_64":                            "another architecture",
		"node_instance_type=m5.large":                    "another architecture",
		`private_subnet_ids=["a", "a"]`:                  "two subnets or more",
		"deepstream_config=" + strings.Repeat("ü", 4001): "at most 8000 bytes",
	} {
		if got := plan("-var", given); !strings.Contains(got, want) {
			t.Errorf("%.40s: %.400s, want %q", given, got, want)
		}
	}
}
