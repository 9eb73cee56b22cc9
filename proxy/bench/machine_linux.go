package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// machine says in one line what the figures were taken on.
func machine(peers []peer) string {
	parts := []string{cores()}
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		parts = append(parts, "Linux "+unix.ByteSliceToString(u.Release[:]))
	}
	parts = append(parts, "Go "+strings.TrimPrefix(runtime.Version(), "go"))
	for _, p := range peers {
		if p.version != "" {
			parts = append(parts, p.label+" "+p.version)
		}
	}
	return strings.Join(parts, ", ")
}

func cores() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return fmt.Sprintf("%d cores", runtime.NumCPU())
	}
	return fmt.Sprintf("%d × %s", runtime.NumCPU(), cpuModel(text))
}

// cpuModel is the model name in /proc/cpuinfo; not every architecture has one.
func cpuModel(cpuinfo []byte) string {
	for line := range bytes.Lines(cpuinfo) {
		if name, value, ok := bytes.Cut(line, []byte(":")); ok && string(bytes.TrimSpace(name)) == "model name" {
			return string(bytes.TrimSpace(value))
		}
	}
	return runtime.GOARCH + " core"
}

// raiseFiles raises the limit of open files of this process, and so of all it
// starts, to n if the system allows, else to the most it allows, and returns it.
func raiseFiles(n int) (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("limit of open files: %w", err)
	}
	want := max(uint64(n), limit.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: want, Max: want}); err == nil {
		return int(min(want, 1<<30)), nil
	}
	// Only a privileged process may raise the hard limit.
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("raise the limit of open files to %d: %w", limit.Max, err)
	}
	return int(min(limit.Max, 1<<30)), nil
}
