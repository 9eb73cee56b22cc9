package deploy

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dsproxy/dsproxy/server/config"
)

// awsDirs are the folders that set the fleet up on AWS.
var awsDirs = []string{"terraform", "cloudformation", "ecs"}

// binaries builds both programs, once, into a folder that lasts as long as the tests.
var binaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "deploy-test-")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-o", dir, "./cmd/dsproxy", "./cmd/deepstream")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := binaries(); dir != "" {
		os.RemoveAll(dir)
	}
	for _, dir := range packageDirs {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// program returns the path of one of the two.
func program(t *testing.T, name string) string {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// flagsOf reads the flags of a program from its own help, with the lines on them.
func flagsOf(t *testing.T, name string) map[string]string {
	t.Helper()
	out, err := exec.Command(program(t, name), map[string]string{"dsproxy": "--help", "deepstream": "help"}[name]).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	flags := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^  (?:-\w, )?--([a-z-]+)(.*)$`).FindAllStringSubmatch(string(out), -1) {
		flags[m[1]] = m[2]
	}
	if len(flags) < 10 {
		t.Fatalf("%s names %d flags only:\n%s", name, len(flags), out)
	}
	return flags
}

// Every variable and flag of the two programs that a file speaks of is there.
func TestVariablesAndFlagsExist(t *testing.T) {
	known := map[string]map[string]string{"DSPROXY": flagsOf(t, "dsproxy"), "DEEPSTREAM": flagsOf(t, "deepstream")}
	found := 0
	exists := func(path, prefix, variable string) {
		found++
		flag := strings.ToLower(strings.ReplaceAll(variable, "_", "-"))
		if _, ok := known[prefix][flag]; !ok {
			t.Errorf("%s: %s_%s is no variable, for there is no --%s", path, prefix, variable, flag)
		}
	}
	either := regexp.MustCompile(`\$\{PROGRAM\^\^\}_([A-Z_]+)`)
	one := regexp.MustCompile(`\b(DSPROXY|DEEPSTREAM)_([A-Z][A-Z_]*)`)
	flag := regexp.MustCompile("`--([a-z-]+)[^`]*`")
	eachFile(t, func(path, src string) {
		for _, m := range either.FindAllStringSubmatch(src, -1) {
			exists(path, "DSPROXY", m[1])
			exists(path, "DEEPSTREAM", m[1])
		}
		for _, m := range one.FindAllStringSubmatch(src, -1) {
			exists(path, m[1], m[2])
		}
		for _, m := range flag.FindAllStringSubmatch(src, -1) {
			_, a := known["DSPROXY"][m[1]]
			_, b := known["DEEPSTREAM"][m[1]]
			if !a && !b {
				t.Errorf("%s: neither program has --%s", path, m[1])
			}
		}
	})
	if found < 30 {
		t.Errorf("found %d variables in all files; they are not looked for as they are written", found)
	}
}

// eachFile reads every file of awsDirs.
func eachFile(t *testing.T, visit func(path, src string)) {
	t.Helper()
	for _, dir := range awsDirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			src, err := os.ReadFile(path)
			visit(path, string(src))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// check has a program itself judge a configuration: its file and its variables.
func check(t *testing.T, name, file string, env map[string]string) {
	t.Helper()
	args := []string{"check"}
	if file != "" {
		args = append(args, map[string]string{"dsproxy": "--config", "deepstream": "-c"}[name], file)
	}
	cmd := exec.Command(program(t, name), args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		cmd.Env = append(cmd.Env, name+"="+env[name])
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s check: %v\n%s", name, err, bytes.TrimSpace(out))
	}
}

// checkNode loads a node's configuration as the node does.
func checkNode(t *testing.T, src string) *config.Settings {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yml")
	if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := config.Load(path, config.Options{Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatalf("%v\n%s", err, src)
	}
	for _, w := range s.Warnings {
		t.Errorf("a warning: %v", w)
	}
	return s
}
