// Command deepstream is a realtime node that clients of deepstream.io of every
// generation connect to. It takes the configuration files and the command line of
// the original; see deepstream help.
package main

import (
	"context"
	"os"
)

func main() {
	p := program{args: os.Args[1:], getenv: os.Getenv, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	os.Exit(p.run(context.Background()))
}
