//go:build e2e

package e2e

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

var (
	withoutProxy = flag.Bool("without-proxy", false, "run the protocol scenarios without dsproxy, to test them")
	programPath  = flag.String("dsproxy", "", "test this dsproxy `program` instead of building one")
)

// scratch is a folder for the program under test and its files.
var scratch string

func TestMain(m *testing.M) {
	flag.Parse()
	// Most of the tests' time is waiting for other processes.
	parallel := false
	flag.Visit(func(f *flag.Flag) { parallel = parallel || f.Name == "test.parallel" })
	if !parallel {
		flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0)))
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if err := checkTools(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "dsproxy-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	scratch = dir
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// checkTools says at once what would make all tests fail one by one.
func checkTools() error {
	for tool, why := range map[string]string{
		"node":         "it runs the clients and servers of the protocols",
		"redis-server": "the replicas share their table through it",
	} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is needed and was not found: %s", tool, why)
		}
	}
	for _, dir := range []string{".", filepath.Join("..", "..", "server", "e2e")} { // a fleet's sessions use the latter
		if _, err := os.Stat(filepath.Join(dir, "node_modules")); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("node_modules is missing: run npm ci in %s", dir)
		}
	}
	return nil
}

// program gives the path of dsproxy, which it builds once.
var program = sync.OnceValues(func() (string, error) {
	if *programPath != "" {
		return filepath.Abs(*programPath)
	}
	return build("dsproxy")
})

// build builds a program of this repository. Where the tests run with the race
// detector so does the program.
func build(name string) (string, error) {
	path := filepath.Join(scratch, name)
	args := []string{"build", "-o", path}
	if raceEnabled {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "./cmd/"+name)...)
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", name, err, out)
	}
	return path, nil
}
