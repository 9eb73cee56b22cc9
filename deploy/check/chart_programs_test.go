package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func configOf(t *testing.T, o objects, name, file string) string {
	t.Helper()
	text, ok := get[corev1.ConfigMap](t, o, "ConfigMap", name).Data[file]
	if !ok {
		t.Fatalf("ConfigMap %s has no %s", name, file)
	}
	return text
}

// environment is what a container of the chart is given, with secrets and addresses
// as a cluster would fill them in.
func environment(c *corev1.Container) []string {
	var env []string
	for _, e := range c.Env {
		v := e.Value
		switch {
		case e.ValueFrom == nil:
		case strings.HasSuffix(e.Name, "_REDIS"):
			v = "redis://:secret@redis.example.com:6379/0"
		case strings.HasSuffix(e.Name, "_GOSSIP_KEY"):
			v = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
		case strings.HasSuffix(e.Name, "_ADVERTISE"):
			v = "10.1.2.3"
		case strings.HasSuffix(e.Name, "_NAME"):
			v = "fleet-nodes-0"
		}
		env = append(env, e.Name+"="+v)
	}
	return env
}

// The programs accept the configuration, the arguments and the variables that the
// chart gives them.
func TestProgramsAcceptTheChart(t *testing.T) {
	for name, given := range valueSets {
		t.Run(name, func(t *testing.T) {
			o, _ := install(t, given)
			for _, w := range workloads(o) {
				switch w.pod.Labels["app.kubernetes.io/name"] {
				case "dsproxy":
					checkProxy(t, o, w)
				case "deepstream":
					checkNode(t, o, w)
				}
			}
		})
	}
}

// mounted puts the configuration of a workload where its container finds it, below a
// folder, and returns the container's arguments with their paths changed to that.
func mounted(t *testing.T, o objects, w workload, file string) (dir string, args []string) {
	t.Helper()
	dir = t.TempDir()
	for _, m := range w.container().VolumeMounts {
		if err := os.MkdirAll(filepath.Join(dir, m.MountPath), 0o700); err != nil {
			t.Fatal(err)
		}
		if m.Name != "config" {
			continue
		}
		text := strings.ReplaceAll(configOf(t, o, w.name, file), "/etc/", filepath.Join(dir, "etc")+"/")
		if err := os.WriteFile(filepath.Join(dir, m.MountPath, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range w.container().Args {
		if strings.HasPrefix(a, "/etc/") {
			a = filepath.Join(dir, a)
		}
		args = append(args, a)
	}
	return dir, args
}

func checkProxy(t *testing.T, o objects, w workload) {
	t.Helper()
	dir, args := mounted(t, o, w, "dsproxy.yaml")
	tls := filepath.Join(dir, "etc/dsproxy/tls")
	if _, err := os.Stat(tls); err == nil {
		writeCertificate(t, tls)
	}
	args[0] = "check" // in place of run
	cmd := exec.Command(program(t, "dsproxy"), args...)
	cmd.Env = environment(w.container())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("dsproxy %v: %v\n%s", args, err, out)
	}
	checkVariables(t, "dsproxy", "DSPROXY_", w.container())
}

func checkNode(t *testing.T, o objects, w workload) {
	t.Helper()
	_, args := mounted(t, o, w, "config.yml")
	args[0] = "check" // in place of start
	cmd := exec.Command(program(t, "deepstream"), args...)
	cmd.Env = environment(w.container())
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "config.yml:") { // which is a warning with its line
		t.Errorf("deepstream %v: %v\n%s", args, err, out)
	}
	checkVariables(t, "deepstream", "DEEPSTREAM_", w.container())
}

var helpFlag = regexp.MustCompile(`(?m)^ +(?:-\w, )?--([a-z-]+)`)

// checkVariables wants a flag of the program for each variable and argument.
func checkVariables(t *testing.T, name, prefix string, c *corev1.Container) {
	t.Helper()
	help, err := exec.Command(program(t, name), "help").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, m := range helpFlag.FindAllStringSubmatch(string(help), -1) {
		known[m[1]] = true
	}
	for _, e := range c.Env {
		if v, ok := strings.CutPrefix(e.Name, prefix); ok && !known[strings.ReplaceAll(strings.ToLower(v), "_", "-")] {
			t.Errorf("%s knows no variable %s", name, e.Name)
		}
	}
	for _, a := range c.Args {
		if f, ok := strings.CutPrefix(a, "--"); ok && !known[f] {
			t.Errorf("%s knows no flag %s", name, a)
		}
	}
}
