package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/dsproxy/dsproxy/server"
	"github.com/dsproxy/dsproxy/server/config"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// program is one run of the command; what it touches comes in from outside.
type program struct {
	args   []string
	getenv func(name string) string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// run dispatches and returns the exit code.
func (p *program) run(ctx context.Context) int {
	command, args := "start", p.args
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		command, args = args[0], args[1:]
	}
	switch command {
	case "start":
		return p.result(p.start(ctx, args))
	case "check":
		return p.result(p.check(args))
	case "healthcheck":
		return p.result(p.healthcheck(ctx, args))
	case "hash":
		return p.result(p.hash(args))
	case "info":
		return p.result(p.info(args))
	case "version":
		fmt.Fprintln(p.stdout, "deepstream", server.Version())
		return exitOK
	case "help":
		usage(p.stdout)
		return exitOK
	default:
		return p.result(usageError{fmt.Errorf("unknown command %q; use start, check, healthcheck, hash, info, version or help", command)})
	}
}

// usageError marks what is wrong with the command line or the environment.
type usageError struct{ error }

// result reports an error and picks the exit code.
func (p *program) result(err error) int {
	var bad usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, flag.ErrHelp):
		usage(p.stdout)
		return exitOK
	case errors.Is(err, errShowVersion):
		fmt.Fprintln(p.stdout, "deepstream", server.Version())
		return exitOK
	}
	var all config.Errors
	if errors.As(err, &all) {
		for _, one := range all {
			fmt.Fprintln(p.stderr, "deepstream:", one)
		}
		return exitFailed
	}
	fmt.Fprintln(p.stderr, "deepstream:", err)
	if errors.As(err, &bad) {
		return exitUsage
	}
	return exitFailed
}

// file finds the configuration file: that of the flag or of the environment, else
// the first of the original's places; "" if there is none.
func (p *program) file(named string) (string, error) {
	for _, name := range []string{"DEEPSTREAM_CONFIG", "DEEPSTREAM_CONFIG_DIRECTORY"} {
		if named == "" {
			named = p.getenv(name)
		}
	}
	binary, err := os.Executable()
	if err != nil {
		binary = os.Args[0]
	}
	if real, err := filepath.EvalSymlinks(binary); err == nil {
		binary = real
	}
	return config.Find(named, config.Places(binary))
}
