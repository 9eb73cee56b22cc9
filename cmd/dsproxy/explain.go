package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/dsproxy/dsproxy/proxy"
)

// explain asks the admin listener of a running proxy where a request would go.
func explain(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("explain", flag.ContinueOnError)
	fs.SetOutput(stderr)
	at := cmp.Or(getenv(envOf("admin")), proxy.Defaults().Admin)
	admin := fs.String("admin", at, "`address` of the proxy's admin listener")
	method := fs.String("method", "GET", "`method` of the request")
	var headers list
	fs.Var(&headers, "header", "`Name:value` that the request carries; may be repeated")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return exitUsage
	}
	if fs.NArg() != 1 {
		fmt.Fprintln(stderr, "dsproxy: explain needs one argument: a URL, a path with its query, or a hashed key of a session")
		return exitUsage
	}
	q := url.Values{"method": {*method}, "header": headers}
	if target := fs.Arg(0); strings.ContainsRune(target, '/') {
		q.Set("url", target)
	} else {
		q.Set("key", target)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+*admin+"/explain?"+q.Encode(), nil)
	if err != nil {
		return fail(stderr, usageError{fmt.Errorf("--admin %s: %w", *admin, err)})
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fail(stderr, fmt.Errorf("ask the proxy at --admin %s: %w", *admin, err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		io.Copy(stderr, resp.Body)
		return exitFailed
	}
	io.Copy(stdout, resp.Body)
	return exitOK
}
