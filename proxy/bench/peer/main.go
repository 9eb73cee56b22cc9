// Command peer is the plain Go proxy dsproxy is compared with: net/http and
// httputil.ReverseProxy as one writes them in an hour, with the connection pool
// large enough that they never dial for a request. Requests with a sid go to
// the backend it hashes to, others round robin.
package main

import (
	"flag"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address to listen on")
	backends := flag.String("backends", "", "comma separated host:port list")
	flag.Parse()
	if err := serve(*listen, strings.Split(*backends, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func serve(listen string, backends []string) error {
	return http.ListenAndServe(listen, newProxy(backends))
}

func newProxy(backends []string) http.Handler {
	targets := make([]*url.URL, len(backends))
	for i, b := range backends {
		targets[i] = &url.URL{Scheme: "http", Host: b}
	}
	var turn atomic.Uint64
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			n := turn.Add(1)
			if sid := r.In.URL.Query().Get("sid"); sid != "" {
				h := fnv.New64a()
				h.Write([]byte(sid))
				n = h.Sum64()
			}
			r.SetURL(targets[n%uint64(len(targets))])
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true},
	}
}
