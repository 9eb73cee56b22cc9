package main

import (
	"fmt"
	"strings"
)

// setup is what a proxy is told for one turn.
type setup struct {
	listen   string // host:port
	admin    string // host:port of dsproxy's admin listener
	backends []string
	sticky   bool
	tunnels  int    // connections from clients at the same time, at most
	dir      string // for its files
}

// threads is what nginx and HAProxy are given.
const threads = 2

// nginxConfig keeps connections to backends and clients for ever, forwards the
// usual headers, and logs nothing but errors.
func nginxConfig(s setup) string {
	var servers strings.Builder
	if s.sticky {
		servers.WriteString("    hash $arg_sid consistent;\n")
	}
	for _, b := range s.backends {
		fmt.Fprintf(&servers, "    server %s;\n", b)
	}
	temp := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += fmt.Sprintf("  %s_temp_path %s/%s;\n", kind, s.dir, kind)
	}
	// Any worker may come to hold all tunnels, two connections each.
	connections := filesNeeded(s.tunnels)
	return fmt.Sprintf(`daemon off;
user root;
worker_processes %d;
worker_rlimit_nofile %d;
pid %s/nginx.pid;
error_log stderr error;
events { worker_connections %d; }
http {
  access_log off;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
%s  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  upstream backends {
%s    keepalive 256;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
  }
  server {
    listen %s backlog=4096;
    location / {
      proxy_pass http://backends;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
    }
  }
}
`, threads, connections, s.dir, connections, temp, servers.String(), s.listen)
}

// haproxyConfig reuses connections to backends as freely as HAProxy can.
func haproxyConfig(s setup) string {
	var servers strings.Builder
	for i, b := range s.backends {
		fmt.Fprintf(&servers, "  server s%d %s\n", i+1, b)
	}
	balance := "roundrobin"
	if s.sticky {
		balance = "url_param sid\n  hash-type consistent"
	}
	return fmt.Sprintf(`global
  nbthread %d
  maxconn %d
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
  timeout http-keep-alive 1h
  option forwardfor
  http-reuse always
frontend clients
  bind %s backlog 4096
  http-request set-header X-Forwarded-Proto http
  default_backend backends
backend backends
  balance %s
%s`, threads, s.tunnels+128, s.listen, balance, servers.String())
}
