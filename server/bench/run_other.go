//go:build !linux

package main

import (
	"context"
	"fmt"
	"io"
)

func run(_ context.Context, args []string, _, stderr io.Writer) int {
	if _, err := parseOptions(args, stderr); err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 2
	}
	fmt.Fprintln(stderr, "bench: this needs Linux: it reads /proc and its clients use epoll")
	return 1
}
