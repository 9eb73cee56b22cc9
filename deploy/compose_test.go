package deploy

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const composeDir = "compose"

// loadCompose reads compose.yaml as docker compose does, schema and all.
func loadCompose(t *testing.T) *types.Project {
	t.Helper()
	key := "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	options, err := cli.NewProjectOptions([]string{filepath.Join(composeDir, "compose.yaml")},
		cli.WithEnv([]string{"REDIS_PASSWORD=0123456789abcdef", "GOSSIP_KEY=" + key}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestCompose(t *testing.T) {
	project := loadCompose(t)
	stages := map[string]stage{}
	for _, s := range readDockerfile(t, dockerfilePath) {
		stages[s.name] = s
	}
	for name, want := range map[string]string{"proxy-a": "dsproxy", "proxy-b": "dsproxy", "node-a": "deepstream", "node-b": "deepstream"} {
		s, ok := project.Services[name]
		if !ok {
			t.Errorf("no service %s", name)
			continue
		}
		if here, err := filepath.Abs("docker/Dockerfile"); err != nil || filepath.Join(s.Build.Context, s.Build.Dockerfile) != here {
			t.Errorf("%s is built of %s in %s (%v)", name, s.Build.Dockerfile, s.Build.Context, err)
		}
		image, ok := stages[s.Build.Target]
		if !ok || s.Build.Target != want {
			t.Fatalf("%s is built to the stage %q", name, s.Build.Target)
		}
		entry := image.only(t, "ENTRYPOINT").list(t)
		if got := s.HealthCheck.Test; !slices.Equal(got, append([]string{"CMD"}, append(entry, "healthcheck", "--ready")...)) {
			t.Errorf("%s is checked by %q", name, got)
		}
		known := flagsOf(t, want)
		prefix := strings.ToUpper(want) + "_"
		env := map[string]string{}
		for variable, value := range s.Environment {
			flag, ok := strings.CutPrefix(variable, prefix)
			if _, there := known[strings.ToLower(strings.ReplaceAll(flag, "_", "-"))]; !ok || !there {
				t.Errorf("%s: %s is no variable of %s", name, variable, want)
			}
			env[variable] = *value
		}
		checkConfigured(t, name, want, project, s, env)
		drain := map[string]time.Duration{"dsproxy": 35 * time.Second, "deepstream": 20 * time.Second}[want]
		if stop := time.Duration(*s.StopGracePeriod); stop < drain+5*time.Second {
			t.Errorf("%s: stop_grace_period of %s is too short for a drain of %s", name, stop, drain)
		}
	}
	for name, s := range project.Services {
		if s.Logging == nil || s.Logging.Options["max-size"] == "" || s.Logging.Options["max-file"] == "" {
			t.Errorf("the log of %s grows for ever", name)
		}
	}
	if a, b := project.Services["proxy-a"].Environment, project.Services["node-a"].Environment; *a["DSPROXY_CLUSTER"] != *b["DEEPSTREAM_CLUSTER"] ||
		*a["DSPROXY_GOSSIP_KEY"] != *b["DEEPSTREAM_GOSSIP_KEY"] || *a["DSPROXY_REDIS"] != *b["DEEPSTREAM_REDIS"] {
		t.Error("proxies and nodes do not agree on cluster, key and Redis")
	}
}

// checkConfigured has the program itself judge the file and the variables that its
// service gets.
func checkConfigured(t *testing.T, name, of string, project *types.Project, s types.ServiceConfig, env map[string]string) {
	t.Helper()
	variable := strings.ToUpper(of) + "_CONFIG"
	if len(s.Configs) != 1 || s.Configs[0].Target != env[variable] {
		t.Errorf("%s: the file of %s, %s, is not mounted there: %+v", name, variable, env[variable], s.Configs)
		return
	}
	env[variable] = project.Configs[s.Configs[0].Source].File
	cmd := exec.Command(program(t, of), "check")
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: check: %v\n%s", name, err, out)
	}
}

// The balancer sends to the port of the proxies' listener, asks for readiness at
// their admin listener, and gives up idle connections before they do.
func TestComposeBalancer(t *testing.T) {
	src, err := os.ReadFile(filepath.Join(composeDir, "haproxy.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	file := readYAML(t, filepath.Join(composeDir, "dsproxy.yaml"))
	listen := text(t, at(file, "listen").Content[0], "address")
	for _, want := range []string{
		`server proxy-a proxy-a` + listen + `$`, `server proxy-b proxy-b` + listen + `$`,
		`check port ` + strings.TrimPrefix(text(t, file, "admin"), ":") + ` `, `option httpchk GET /readyz$`,
		`balance roundrobin$`, `timeout client 70s`,
	} {
		if !regexp.MustCompile(`(?m)` + want).Match(src) {
			t.Errorf("haproxy.cfg has no line %s", want)
		}
	}
	if published := loadCompose(t).Services["balancer"].Ports; len(published) != 1 || published[0].HostIP != "127.0.0.1" || published[0].Target != 8080 {
		t.Errorf("the balancer publishes %+v", published)
	}
	m := regexp.MustCompile(`(?m)^  maxconn (\d+)$`).FindSubmatch(src)
	if m == nil {
		t.Fatal("haproxy.cfg has no maxconn")
	}
	conns, _ := strconv.Atoi(string(m[1]))
	if files := loadCompose(t).Services["balancer"].Ulimits["nofile"]; files == nil || files.Single < 2*conns+100 {
		t.Errorf("HAProxy does not start with the files %+v, which are too few for maxconn %d", files, conns)
	}
	haproxy, err := exec.LookPath("haproxy")
	if err != nil {
		t.Skipf("haproxy.cfg not read by HAProxy: %v", err)
	}
	if out, err := exec.Command(haproxy, "-c", "-f", filepath.Join(composeDir, "haproxy.cfg")).CombinedOutput(); err != nil {
		t.Errorf("haproxy -c: %v\n%s", err, out)
	}
}
