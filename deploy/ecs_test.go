package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The JSON files are requests of ECS's and the balancer's API, whose members are
// CloudFormation's properties; ECS writes them with a small first letter.
func TestECSMatchesSpecification(t *testing.T) {
	spec := awsSpecification(t)
	same := func(s string) string { return s }
	for file, want := range map[string]struct {
		kind string
		name func(string) string
	}{
		"dsproxy.task.json":       {"AWS::ECS::TaskDefinition", upperFirst},
		"deepstream.task.json":    {"AWS::ECS::TaskDefinition", upperFirst},
		"dsproxy.service.json":    {"AWS::ECS::Service", upperFirst},
		"deepstream.service.json": {"AWS::ECS::Service", upperFirst},
		"target-group.json":       {"AWS::ElasticLoadBalancingV2::TargetGroup", same},
	} {
		path := filepath.Join("ecs", file)
		c := &specCheck{spec, t, want.name, path}
		c.object(readYAML(t, path), file, spec.resources[want.kind].Properties)
	}
}

// Every placeholder has its line in fleet.env.example, and every line its use.
func TestECSPlaceholders(t *testing.T) {
	env, err := os.ReadFile("ecs/fleet.env.example")
	if err != nil {
		t.Fatal(err)
	}
	given, used := map[string]bool{}, map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([A-Z_0-9]+)=\S+$`).FindAllStringSubmatch(string(env), -1) {
		given[m[1]] = true
	}
	files, _ := filepath.Glob("ecs/*.json")
	files = append(files, "ecs/README.md")
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\$\{?([A-Z][A-Z_0-9]+)\b`).FindAllStringSubmatch(string(src), -1) {
			used[m[1]] = true
			if !given[m[1]] {
				t.Errorf("%s: fleet.env.example does not give %s", name, m[1])
			}
		}
	}
	for name := range given {
		if !used[name] {
			t.Errorf("fleet.env.example: %s is used by nothing", name)
		}
	}
}

// container is the one container of a task definition.
func container(t *testing.T, file string) *yaml.Node {
	t.Helper()
	all := at(readYAML(t, filepath.Join("ecs", file)), "containerDefinitions")
	if all == nil || len(all.Content) != 1 {
		t.Fatalf("%s does not define one container", file)
	}
	return all.Content[0]
}

// environment of a container: what is written out, and what is a secret.
func environment(t *testing.T, file string) (plain, secret map[string]string) {
	t.Helper()
	plain, secret = map[string]string{}, map[string]string{}
	c := container(t, file)
	for _, e := range at(c, "environment").Content {
		plain[text(t, e, "name")] = text(t, e, "value")
	}
	for _, e := range at(c, "secrets").Content {
		secret[text(t, e, "name")] = text(t, e, "valueFrom")
	}
	return plain, secret
}

// What is secret comes from Secrets Manager and is not written out.
func TestECSSecrets(t *testing.T) {
	for file, prefix := range map[string]string{"dsproxy.task.json": "DSPROXY", "deepstream.task.json": "DEEPSTREAM"} {
		plain, secret := environment(t, file)
		for _, name := range []string{"REDIS", "GOSSIP_KEY"} {
			if _, ok := plain[prefix+"_"+name]; ok {
				t.Errorf("%s writes %s out", file, name)
			}
			if !strings.HasSuffix(secret[prefix+"_"+name], "_SECRET_ARN}") {
				t.Errorf("%s: %s comes from %q", file, name, secret[prefix+"_"+name])
			}
		}
	}
	policy := readYAML(t, "ecs/execution-role-policy.json")
	resources := at(at(policy, "Statement").Content[0], "Resource")
	if len(resources.Content) != 2 {
		t.Errorf("the execution role may read %d secrets, not 2", len(resources.Content))
	}
}

// The check runs the program at its place in the image, and as a command that it has.
func TestECSHealthChecks(t *testing.T) {
	image, err := os.ReadFile("docker/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dsproxy", "deepstream"} {
		command := at(container(t, name+".task.json"), "healthCheck", "command").Content
		path := command[1].Value
		if !strings.Contains(string(image), `ENTRYPOINT ["`+path+`"]`) {
			t.Errorf("the image does not run %s", path)
		}
		help, err := exec.Command(program(t, name), "help").CombinedOutput()
		if err != nil || !strings.Contains(string(help), "\n  "+name+" "+command[2].Value) {
			t.Errorf("%s has no command %s: %v", name, command[2].Value, err)
		}
	}
}

// The collector works harder before a task is out of memory.
func TestECSMemory(t *testing.T) {
	for _, name := range []string{"dsproxy", "deepstream"} {
		memory := number(t, readYAML(t, "ecs/"+name+".task.json"), "memory")
		plain, _ := environment(t, name+".task.json")
		limit, err := strconv.Atoi(strings.TrimSuffix(plain["GOMEMLIMIT"], "MiB"))
		if err != nil || limit < memory*8/10 || limit > memory*9/10 {
			t.Errorf("%s has %d MiB and a GOMEMLIMIT of %q", name, memory, plain["GOMEMLIMIT"])
		}
	}
}

func TestECSServicesFitTasks(t *testing.T) {
	for _, program := range []string{"dsproxy", "deepstream"} {
		task := readYAML(t, "ecs/"+program+".task.json")
		service := readYAML(t, "ecs/"+program+".service.json")
		if family, def := text(t, task, "family"), text(t, service, "taskDefinition"); family != def {
			t.Errorf("%s: the service runs %s, the task is %s", program, def, family)
		}
		if lb := at(service, "loadBalancers"); lb != nil {
			if name := text(t, lb.Content[0], "containerName"); name != text(t, container(t, program+".task.json"), "name") {
				t.Errorf("%s: there is no container %s", program, name)
			}
		}
	}
}

// Prometheus finds the tasks by the names that README.md has Cloud Map keep, at an
// admin port that is bound where it can be reached.
func TestECSIsScraped(t *testing.T) {
	guide, err := os.ReadFile("ecs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	jobs := at(readYAML(t, "prometheus/scrape.yml"), "scrape_configs").Content
	for program, variable := range map[string]string{"dsproxy": "DSPROXY_ADMIN", "deepstream": "DEEPSTREAM_ADMIN"} {
		env, _ := environment(t, program+".task.json")
		found := false
		for _, job := range jobs {
			if text(t, job, "job_name") != program+"-ecs" {
				continue
			}
			found = true
			sd := at(job, "dns_sd_configs").Content[0]
			if port := text(t, sd, "port"); env[variable] != ":"+port {
				t.Errorf("%s is asked at port %s, and its task has %s=%s", program, port, variable, env[variable])
			}
			role, _, _ := strings.Cut(at(sd, "names").Content[0].Value, ".")
			if !strings.Contains(string(guide), "`"+role+".<name>.internal`") {
				t.Errorf("%s is looked up as %s, which README.md does not have made", program, role)
			}
			mapped := slices.ContainsFunc(at(container(t, program+".task.json"), "portMappings").Content, func(m *yaml.Node) bool {
				return ":"+text(t, m, "containerPort") == env[variable]
			})
			if !mapped {
				t.Errorf("%s: %s is no port of the task", program, env[variable])
			}
		}
		if !found {
			t.Errorf("scrape.yml has no job %s-ecs", program)
		}
	}
}
