package main

import (
	"strings"
	"testing"
)

func TestConfigs(t *testing.T) {
	s := setup{listen: "127.0.0.1:8000", backends: []string{"127.0.0.1:1", "127.0.0.1:2"}, tunnels: 1000, dir: "/tmp/x"}
	sticky := s
	sticky.sticky = true
	f := func(text string, with []string, without ...string) {
		t.Helper()
		for _, w := range with {
			if !strings.Contains(text, w) {
				t.Errorf("no %q in\n%s", w, text)
			}
		}
		for _, w := range without {
			if strings.Contains(text, w) {
				t.Errorf("%q in\n%s", w, text)
			}
		}
		if strings.Contains(text, "%!") {
			t.Errorf("a format went wrong in\n%s", text)
		}
	}
	nginx := []string{"worker_processes 2;", "worker_connections 2600;", "pid /tmp/x/nginx.pid;", "listen 127.0.0.1:8000 ", "server 127.0.0.1:1;\n    server 127.0.0.1:2;\n    keepalive"}
	f(nginxConfig(s), nginx, "hash ")
	f(nginxConfig(sticky), append(nginx, "upstream backends {\n    hash $arg_sid consistent;\n"))
	haproxy := []string{"nbthread 2\n", "maxconn 1128\n", "bind 127.0.0.1:8000 ", "server s1 127.0.0.1:1\n  server s2 127.0.0.1:2\n"}
	f(haproxyConfig(s), append(haproxy, "balance roundrobin\n"), "url_param")
	f(haproxyConfig(sticky), append(haproxy, "balance url_param sid\n  hash-type consistent\n"), "roundrobin")
}
