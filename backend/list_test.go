package backend

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseList(t *testing.T) {
	f := func(s string, want ...Backend) {
		t.Helper()
		got, err := ParseList(s)
		if err != nil {
			t.Errorf("ParseList(%q): %v", s, err)
			return
		}
		if diff := cmp.Diff(List{Static: want}, got); diff != "" {
			t.Errorf("ParseList(%q) (-want +got):\n%s", s, diff)
		}
	}
	b := func(addr string) Backend { return Backend{ID: addr, Addr: addr, Weight: 1} }

	f("")
	f("  ")
	f("10.0.1.5:6020", b("10.0.1.5:6020"))
	f("10.0.1.5:6020,10.0.2.5:6020", b("10.0.1.5:6020"), b("10.0.2.5:6020"))
	f(" 10.0.1.5:6020 ,\t10.0.2.5:6020 ", b("10.0.1.5:6020"), b("10.0.2.5:6020"))
	f("http://10.0.1.5:6020", b("10.0.1.5:6020"))
	f("http://10.0.1.5", b("10.0.1.5:80"))
	f("http://10.0.1.5/", b("10.0.1.5:80"))
	f("HTTP://Node-1.Example.COM:06020", b("node-1.example.com:6020"))
	f("node_1:1", b("node_1:1"))
	f("node.example.com.:6020", b("node.example.com.:6020"))
	f("[::1]:6020", b("[::1]:6020"))
	f("[2001:DB8:0:0::1]:6020", b("[2001:db8::1]:6020"))
	f("[::ffff:10.0.0.1]:6020", b("10.0.0.1:6020"))
	f("[fe80::1%eth0]:6020", b("[fe80::1%eth0]:6020"))
	f("http://[::1]", b("[::1]:80"))
	f("10.0.0.1:65535", b("10.0.0.1:65535"))

	f("https://node.example.com", Backend{ID: "node.example.com:443", Addr: "node.example.com:443", TLS: true, Weight: 1})
	f("https://[::1]:8443;sni=Node.Example.com.",
		Backend{ID: "[::1]:8443", Addr: "[::1]:8443", TLS: true, ServerName: "node.example.com", Weight: 1})
	f("10.0.0.1:1;w=2", Backend{ID: "10.0.0.1:1", Addr: "10.0.0.1:1", Weight: 2})
	f("http://10.0.0.1:1 ; w=1000 ; zone=eu-1a",
		Backend{ID: "10.0.0.1:1", Addr: "10.0.0.1:1", Weight: 1000, Zone: "eu-1a"})
}

func TestParseListNames(t *testing.T) {
	f := func(s, again string, want Name) {
		t.Helper()
		got, err := ParseList(s)
		if err != nil {
			t.Errorf("ParseList(%q): %v", s, err)
			return
		}
		if diff := cmp.Diff(List{Names: []Name{want}}, got); diff != "" {
			t.Errorf("ParseList(%q) (-want +got):\n%s", s, diff)
			return
		}
		if got.Names[0].String() != again {
			t.Errorf("ParseList(%q) renders as %q, want %q", s, got.Names[0], again)
		}
		if second, err := ParseList(again); err != nil || !cmp.Equal(got, second) {
			t.Errorf("ParseList(%q) = %v, %v; want what %q gives", again, second, err, s)
		}
	}
	f("dns://Node.internal:6020", "dns://node.internal:6020", Name{Host: "node.internal", Port: "6020", Weight: 1})
	f("dns+https://node.internal", "dns+https://node.internal:443",
		Name{Host: "node.internal", Port: "443", TLS: true, Weight: 1})
	f("dns+https://node:1;sni=a.b;w=3;zone=z", "dns+https://node:1;w=3;zone=z;sni=a.b",
		Name{Host: "node", Port: "1", TLS: true, ServerName: "a.b", Weight: 3, Zone: "z"})
	f("srv://_http._tcp.example.com", "srv://_http._tcp.example.com",
		Name{Host: "_http._tcp.example.com", SRV: true, Weight: 1})
	f("srv+https://_x._tcp.example.com;w=2", "srv+https://_x._tcp.example.com;w=2",
		Name{Host: "_x._tcp.example.com", SRV: true, TLS: true, Weight: 2})
}

func TestParseListErrors(t *testing.T) {
	f := func(s, want string) {
		t.Helper()
		got, err := ParseList(s)
		if err == nil {
			t.Errorf("ParseList(%q) = %v, want an error", s, got)
			return
		}
		if err.Error() != want {
			t.Errorf("ParseList(%q):\n got %s\nwant %s", s, err, want)
		}
	}
	f("10.0.0.1", `--backends: "10.0.0.1": the port is missing; write it like 10.0.0.1:6020`)
	f("node", `--backends: "node": the port is missing; write it like node:6020`)
	f("[::1]", `--backends: "[::1]": the port is missing; write it like [::1]:6020`)
	f("10.0.0.1:", `--backends: "10.0.0.1:": the port is missing after the colon; write it like 10.0.1.5:6020`)
	f("http://[::1]:", `--backends: "http://[::1]:": the port is missing after the colon; write it like 10.0.1.5:6020`)
	f(":6020", `--backends: ":6020": the host is missing; write it like 10.0.1.5:6020`)
	f("http://", `--backends: "http://": the host is missing; write it like 10.0.1.5:6020`)
	f("a:0", `--backends: "a:0": "0" is not a port; write a number from 1 to 65535`)
	f("a:65536", `--backends: "a:65536": "65536" is not a port; write a number from 1 to 65535`)
	f("a:http", `--backends: "a:http": "http" is not a port; write a number from 1 to 65535`)
	f("a:+80", `--backends: "a:+80": "+80" is not a port; write a number from 1 to 65535`)
	f("::1:6020", `--backends: "::1:6020": an IPv6 address stands in brackets; write it like [::1]:6020`)
	f("[::1:6020", `--backends: "[::1:6020": a ] is missing; write [::1]:6020`)
	f("[::1]6020", `--backends: "[::1]6020": "6020" follows the ]; write [::1]:6020`)
	f("[10.0.0.1]:6020", `--backends: "[10.0.0.1]:6020": "10.0.0.1" is not an IPv6 address; write it like [::1]:6020`)
	f("[fe80::1%a b]:1", `--backends: "[fe80::1%a b]:1": "fe80::1%a b" is not an IPv6 address; write it like [::1]:6020`)
	f("0.0.0.0:6020", `--backends: "0.0.0.0:6020": 0.0.0.0 is no address to connect to; write that of the backend, such as 127.0.0.1`)
	f("10.0.0.256:1", `--backends: "10.0.0.256:1": "10.0.0.256" is neither an IPv4 address nor a host name`)
	f("10.0.0.010:1", `--backends: "10.0.0.010:1": "10.0.0.010" is neither an IPv4 address nor a host name`)
	f("a..b:1", `--backends: "a..b:1": "a..b" is not a host name; write letters, digits, '-' and '.'`)
	f("-a:1", `--backends: "-a:1": "-a" is not a host name; write letters, digits, '-' and '.'`)
	f("a b:1", `--backends: "a b:1": "a b" is not a host name; write letters, digits, '-' and '.'`)
	f("nöde:1", `--backends: "nöde:1": "nöde" is not a host name; write letters, digits, '-' and '.'`)

	f("http://a/app", `--backends: "http://a/app": a path does not belong here, requests keep their own; leave out "/app"`)
	f("http://a:1/app/?x#y", `--backends: "http://a:1/app/?x#y": a path does not belong here, requests keep their own; leave out "/app/?x#y"`)
	f("http://a?x=1", `--backends: "http://a?x=1": a path does not belong here, requests keep their own; leave out "?x=1"`)
	f("a:1/", `--backends: "a:1/": a path does not belong here, requests keep their own; leave out "/"`)
	f("ftp://a:1", `--backends: "ftp://a:1": ftp:// is not known; write host:port, http://, https://, dns:// or srv://`)
	f("ws://a:1", `--backends: "ws://a:1": WebSockets go the way of all requests; write http:// in place of ws://`)
	f("WSS://a:1", `--backends: "WSS://a:1": WebSockets go the way of all requests; write https:// in place of WSS://`)
	f("http://user:secret@a:1", `--backends: "http://...@a:1": a user does not belong here; write the host alone`)

	f("dns://a", `--backends: "dns://a": the port is missing; write it like a:6020`)
	f("dns://10.0.0.1:1", `--backends: "dns://10.0.0.1:1": 10.0.0.1 needs no look-up; leave out dns://`)
	f("srv://a:1", `--backends: "srv://a:1": a service tells its own ports; write the name alone, such as srv://_http._tcp.example.com`)
	f("srv://", `--backends: "srv://": "" is not a host name; write letters, digits, '-' and '.'`)

	f("a:1;w=0", `--backends: "a:1;w=0": a weight of 0 would never be used; drain the backend by the admin listener instead`)
	f("a:1;w=1001", `--backends: "a:1;w=1001": "1001" is not a weight; write ;w=1 to ;w=1000`)
	f("a:1;w=", `--backends: "a:1;w=": "" is not a weight; write ;w=1 to ;w=1000`)
	f("a:1;w=1;w=2", `--backends: "a:1;w=1;w=2": w is given twice; give it once`)
	f("a:1;weight=2", `--backends: "a:1;weight=2": "weight" is not known; after ; comes w=, zone= or sni=`)
	f("a:1;sni=b", `--backends: "a:1;sni=b": sni is for https:// only; write https:// or leave it out`)
	f("https://a;sni=b c", `--backends: "https://a;sni=b c": sni: "b c" is not a host name; write letters, digits, '-' and '.'`)
	f("a:1;zone=", `--backends: "a:1;zone=": "" is not a zone; write up to 63 letters, digits, '-', '_' or '.'`)
	f("a:1;zone=[", `--backends: "a:1;zone=[": "[" is not a zone; write up to 63 letters, digits, '-', '_' or '.'`)

	f("a:1,,b:1", `--backends: "": nothing stands between two commas; remove one`)
	f("a:1,", `--backends: "": nothing stands between two commas; remove one`)
	f("A:1,http://a:1", `--backends: "http://a:1": a:1 is listed twice; give one backend more sessions with ;w=2`)
	f("a,b", `--backends: "a": the port is missing; write it like a:6020`+"\n"+
		`--backends: "b": the port is missing; write it like b:6020`)
	long := strings.TrimSuffix(strings.Repeat(strings.Repeat("a", 62)+".", 4), ".") + ":65535"
	f(long, `--backends: "`+long+`": longer than 255 bytes; use a shorter name`)
}

func TestParseListOfSeveral(t *testing.T) {
	got, err := ParseList("a:1,dns://b:2", "", "c:3")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Static) != 2 || len(got.Names) != 1 {
		t.Fatalf("got %+v", got)
	}
	if s := got.Sources(DNSConfig{}); len(s) != 2 || nameOf(s[0]) != "static" || nameOf(s[1]) != "dns://b:2" {
		t.Fatalf("sources %v", s)
	}
	if _, err := ParseList("a:1", "a:1"); err == nil {
		t.Fatal("a backend named by two lists was taken")
	}
}

func FuzzParseList(f *testing.F) {
	for _, s := range []string{"a:1", "https://[::1]:2;w=3;sni=x", "srv+https://_a._tcp.b;zone=c", "dns://a:1,b:2", "http://u@h/;;", "[fe80::1%z]:9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseList(s)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "--backends: ") {
				t.Fatalf("error without its flag: %v", err)
			}
			return
		}
		// What was understood is usable, and is understood the same when written in the normal form.
		for _, b := range l.Static {
			n, err := b.normal()
			if err != nil || n != b {
				t.Fatalf("%q gives %+v, whose normal form is %+v, %v", s, b, n, err)
			}
			again, err := ParseList(b.Addr)
			if err != nil || again.Static[0].ID != b.ID {
				t.Fatalf("%q gives the address %q, which gives %+v, %v", s, b.Addr, again, err)
			}
		}
		for _, n := range l.Names {
			again, err := ParseList(n.String())
			if err != nil || len(again.Names) != 1 || again.Names[0] != n {
				t.Fatalf("%q gives %q, which gives %+v, %v", s, n, again, err)
			}
		}
	})
}
