// Command dsproxy is an edge proxy that keeps the sessions of realtime
// protocols on the backend that holds them, long-polling and WebSocket alike,
// without cookies. See README.md, or run dsproxy help.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}
