package deploy

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const templatePath = "cloudformation/fleet.yaml"

// sections of a template by name: Parameters, Resources and so on.
func section(t *testing.T, top *yaml.Node, name string) map[string]*yaml.Node {
	t.Helper()
	found := map[string]*yaml.Node{}
	for key, value := range pairs(at(top, name)) {
		if found[key.Value] != nil {
			t.Errorf("%s:%d: %s is there twice", templatePath, key.Line, key.Value)
		}
		found[key.Value] = value
	}
	return found
}

// Every resource type, property and its type is one of AWS's own specification.
func TestCloudFormationMatchesSpecification(t *testing.T) {
	c := &specCheck{awsSpecification(t), t, func(s string) string { return s }, templatePath}
	for name, r := range section(t, readYAML(t, templatePath), "Resources") {
		kind := c.resources[text(t, r, "Type")]
		if kind == nil {
			c.errorf(r, "%s: there is no resource type %s", name, text(t, r, "Type"))
			continue
		}
		for key := range pairs(r) {
			if !slices.Contains([]string{"Type", "Properties", "DependsOn", "Condition", "CreationPolicy", "UpdatePolicy", "DeletionPolicy", "UpdateReplacePolicy"}, key.Value) {
				c.errorf(key, "a resource has no %s", key.Value)
			}
		}
		if properties := at(r, "Properties"); properties != nil {
			c.object(properties, name, kind.Properties)
		}
	}
}

// template holds what the functions of a template may name, and what they did.
type template struct {
	t                                *testing.T
	spec                             *specification
	parameters, resources, conds, mp map[string]*yaml.Node
	used                             map[string]bool
}

func TestCloudFormationReferences(t *testing.T) {
	top := readYAML(t, templatePath)
	f := &template{
		t: t, spec: awsSpecification(t), used: map[string]bool{},
		parameters: section(t, top, "Parameters"), resources: section(t, top, "Resources"),
		conds: section(t, top, "Conditions"), mp: section(t, top, "Mappings"),
	}
	for _, name := range []string{"Conditions", "Resources", "Outputs"} {
		f.walk(at(top, name))
	}
	for name, r := range f.resources {
		if c := at(r, "Condition"); c != nil {
			f.condition(c)
		}
		dependsOn := at(r, "DependsOn")
		if dependsOn == nil {
			continue
		}
		for _, d := range append([]*yaml.Node{dependsOn}, dependsOn.Content...) {
			if d.Kind == yaml.ScalarNode && f.resources[d.Value] == nil {
				t.Errorf("%s:%d: %s depends on %s, which is not there", templatePath, d.Line, name, d.Value)
			}
		}
	}
	for _, declared := range []map[string]*yaml.Node{f.parameters, f.conds, f.mp} {
		for name, n := range declared {
			if !f.used[name] {
				t.Errorf("%s:%d: %s is used by nothing", templatePath, n.Line, name)
			}
		}
	}
}

var subName = regexp.MustCompile(`\$\{([^!}][^}]*)\}`)

// walk follows every function below a node.
func (f *template) walk(n *yaml.Node) {
	fn, args := intrinsic(n)
	switch fn {
	case "Ref":
		f.ref(n, args.Value)
	case "GetAtt":
		f.attribute(n, args.Value)
	case "If":
		f.condition(args.Content[0])
	case "FindInMap":
		if at(f.mp[args.Content[0].Value], args.Content[1].Value, args.Content[2].Value) == nil {
			f.t.Errorf("%s:%d: there is no such mapping", templatePath, n.Line)
		}
		f.used[args.Content[0].Value] = true
	case "Sub":
		format, names := args, map[string]bool{}
		if args.Kind == yaml.SequenceNode {
			format = args.Content[0]
			for key := range pairs(args.Content[1]) {
				names[key.Value] = true
				if !strings.Contains(format.Value, "${"+key.Value+"}") {
					f.t.Errorf("%s:%d: %s is used by nothing", templatePath, key.Line, key.Value)
				}
			}
		}
		for _, m := range subName.FindAllStringSubmatch(format.Value, -1) {
			switch {
			case names[m[1]]:
			case strings.Contains(m[1], "."):
				f.attribute(format, m[1])
			default:
				f.ref(format, m[1])
			}
		}
	}
	for _, child := range n.Content {
		f.walk(child)
	}
}

func (f *template) ref(n *yaml.Node, name string) {
	pseudo := []string{"AWS::AccountId", "AWS::NoValue", "AWS::Partition", "AWS::Region", "AWS::StackId", "AWS::StackName", "AWS::URLSuffix"}
	if f.parameters[name] == nil && f.resources[name] == nil && !slices.Contains(pseudo, name) {
		f.t.Errorf("%s:%d: there is no %s", templatePath, n.Line, name)
	}
	f.used[name] = true
}

func (f *template) attribute(n *yaml.Node, path string) {
	name, attribute, _ := strings.Cut(path, ".")
	r := f.resources[name]
	if r == nil {
		f.t.Errorf("%s:%d: there is no %s", templatePath, n.Line, name)
		return
	}
	kind := f.spec.resources[text(f.t, r, "Type")]
	if _, ok := kind.Attributes[attribute]; !ok {
		f.t.Errorf("%s:%d: %s has no attribute %s but %v", templatePath, n.Line, kind.Name, attribute, slices.Sorted(maps.Keys(kind.Attributes)))
	}
}

func (f *template) condition(n *yaml.Node) {
	if f.conds[n.Value] == nil {
		f.t.Errorf("%s:%d: there is no condition %s", templatePath, n.Line, n.Value)
	}
	f.used[n.Value] = true
}

func TestCloudFormationParameters(t *testing.T) {
	top := readYAML(t, templatePath)
	grouped := map[string]bool{}
	for _, g := range at(top, "Metadata", "AWS::CloudFormation::Interface", "ParameterGroups").Content {
		for _, p := range at(g, "Parameters").Content {
			grouped[p.Value] = true
		}
	}
	parameters := section(t, top, "Parameters")
	for name, p := range parameters {
		if at(p, "Description") == nil {
			t.Errorf("%s:%d: %s has no description", templatePath, p.Line, name)
		}
		if !grouped[name] {
			t.Errorf("%s: %s is in no group of the form", templatePath, name)
		}
		if d := at(p, "Default"); d != nil && !allows(p, d.Value) {
			t.Errorf("%s:%d: the default %q of %s does not fit its pattern", templatePath, p.Line, d.Value, name)
		}
		if regexp.MustCompile(`(?i)(token|password|key)$`).MatchString(name) {
			t.Errorf("%s:%d: secrets are made by the template, not given: %s", templatePath, p.Line, name)
		}
	}
	for name := range grouped {
		if parameters[name] == nil {
			t.Errorf("%s: the form shows %s, which is no parameter", templatePath, name)
		}
	}
	info, err := os.Stat(templatePath)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 51_200 {
		t.Errorf("%s has %d bytes; more than 51,200 cannot be given to CloudFormation but by way of S3", templatePath, info.Size())
	}
}

var lookahead = regexp.MustCompile(`^\(\?!([^)]*)\)`)

// allows reports whether a parameter may have a value. Its pattern is one of Java,
// of which Go lacks the lookahead.
func allows(parameter *yaml.Node, value string) bool {
	n := at(parameter, "AllowedPattern")
	if n == nil {
		return true
	}
	pattern := n.Value
	if not := lookahead.FindStringSubmatch(pattern); not != nil {
		if regexp.MustCompile("^(" + not[1] + ")").MatchString(value) {
			return false
		}
		pattern = strings.TrimPrefix(pattern, not[0])
	}
	return regexp.MustCompile("^(" + pattern + ")$").MatchString(value)
}

// What AWS or a machine would refuse later is refused at once.
func TestCloudFormationRefusesOddParameters(t *testing.T) {
	parameters := section(t, readYAML(t, templatePath), "Parameters")
	for _, p := range [][2]string{
		{"Name", "internal-fleet"}, {"Name", "a--b"}, {"Name", "Fleet"}, {"Name", "1a"},
		{"DsproxyPackage", "s3://bucket"}, {"DsproxyPackage", "http://h/p.rpm"}, {"DeepstreamPackage", "https://h/a'b.rpm"},
		{"DsproxyPackageSha256", "abc"}, {"IngressCidr", "::/0"}, {"IngressCidr", "10.0.0.1"}, {"CertificateArn", "arn:aws:s3:::x"},
	} {
		if allows(parameters[p[0]], p[1]) {
			t.Errorf("%s may be %q", p[0], p[1])
		}
	}
	for _, p := range [][2]string{
		{"Name", "internals"}, {"Name", "eu-fleet-2"}, {"DsproxyPackage", "s3://bucket/a/b.rpm"},
		{"DsproxyPackage", "https://h/p.rpm?X-Amz-Expires=60&X-Amz-Signature=0"}, {"IngressCidr", "10.0.0.0/8"},
	} {
		if !allows(parameters[p[0]], p[1]) {
			t.Errorf("%s may not be %q", p[0], p[1])
		}
	}
}

// Every machine asks for IMDSv2, and the ways between the groups are Terraform's.
func TestCloudFormationSecurity(t *testing.T) {
	var in, out []string
	for name, r := range section(t, readYAML(t, templatePath), "Resources") {
		rule := func(from, to string) string {
			group := func(key string) string {
				return strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(text(t, r, "Properties", key), ".GroupId"), "SecurityGroup"))
			}
			return group(from) + " to " + group(to) + " " + text(t, r, "Properties", "IpProtocol") + " " + text(t, r, "Properties", "FromPort")
		}
		switch text(t, r, "Type") {
		case "AWS::EC2::LaunchTemplate":
			if v := text(t, r, "Properties", "LaunchTemplateData", "MetadataOptions", "HttpTokens"); v != "required" {
				t.Errorf("%s: IMDSv1 is let in: HttpTokens is %q", name, v)
			}
		case "AWS::EC2::SecurityGroupIngress":
			in = append(in, rule("SourceSecurityGroupId", "GroupId"))
		case "AWS::EC2::SecurityGroupEgress":
			if at(r, "Properties", "DestinationSecurityGroupId") != nil {
				out = append(out, rule("GroupId", "DestinationSecurityGroupId"))
			}
		case "AWS::EC2::SecurityGroup":
			if at(r, "Properties", "SecurityGroupEgress") == nil {
				t.Errorf("%s lets everything out, since it names no rule", name)
			}
		}
	}
	slices.Sort(in)
	slices.Sort(out)
	want := []string{
		"balancer to proxy tcp 8080", "balancer to proxy tcp 9180", "member to member tcp 7946",
		"member to member udp 7946", "member to redis tcp 6379", "proxy to node tcp 6020",
	}
	wantIn := append([]string{"prometheus to node tcp 9120", "prometheus to proxy tcp 9180"}, want...) // only where it is named
	slices.Sort(wantIn)
	if !slices.Equal(in, wantIn) || !slices.Equal(out, want) {
		t.Errorf("ways in:\n%q\nways out:\n%q\nwant:\n%q\nand:\n%q", in, out, wantIn, want)
	}
}
