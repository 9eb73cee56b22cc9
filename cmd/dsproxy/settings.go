package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dsproxy/dsproxy/proxy"
)

// options are the flags that are no fields of the configuration: they choose
// the file, or are put together into listeners.
type options struct {
	config        string
	printConfig   bool
	listen        list
	tlsListen     list
	tlsCert       string
	tlsKey        string
	proxyProtocol bool
	redirectHTTPS bool
	join          list
}

// usageError marks what is wrong with the command line or the environment.
type usageError struct{ error }

// load puts the configuration together: a flag wins over its DSPROXY_ variable,
// that over the file, and the file over the default.
func load(args []string, getenv func(string) string) (proxy.Config, options, error) {
	// The first pass finds out which flags are given, and the file.
	scratch := proxy.Defaults()
	var given options
	first := newFlags(&scratch, &given)
	if err := parse(first, args); err != nil {
		return scratch, given, err
	}
	isSet := map[string]bool{}
	first.Visit(func(f *flag.Flag) { isSet[f.Name] = true })

	cfg := proxy.Defaults()
	var opts options
	flags := newFlags(&cfg, &opts)
	file := given.config
	if v := getenv(envOf("config")); file == "" && v != "" {
		file = v
	}
	if file != "" {
		if err := cfg.LoadFile(file); err != nil {
			return cfg, opts, err
		}
	}
	var bad error
	flags.VisitAll(func(f *flag.Flag) {
		v := getenv(envOf(f.Name))
		if v == "" || isSet[f.Name] || f.Name == "config" || bad != nil {
			return
		}
		if err := flags.Set(f.Name, v); err != nil {
			bad = usageError{fmt.Errorf("%s=%q: %w", envOf(f.Name), v, formOf(f, err))}
		}
	})
	if bad != nil {
		return cfg, opts, bad
	}
	if err := parse(flags, args); err != nil {
		return cfg, opts, err
	}
	if len(opts.join) > 0 {
		cfg.Gossip.Join = opts.join
	}
	return cfg, opts, opts.applyListeners(&cfg)
}

func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		if err == flag.ErrHelp {
			return err
		}
		if m := badValue.FindStringSubmatch(err.Error()); m != nil {
			return usageError{fmt.Errorf("--%s: %q: %w", m[2], m[1], formOf(flags.Lookup(m[2]), err))}
		}
		return usageError{fmt.Errorf("%w; dsproxy help lists the flags", err)}
	}
	if flags.NArg() > 0 {
		return usageError{fmt.Errorf("unexpected argument %q; flags start with --", flags.Arg(0))}
	}
	return nil
}

// badValue finds value and name in an error of package flag about a value that it
// could not read itself.
var badValue = regexp.MustCompile(`^invalid (?:boolean )?value "(.*)" for (?:flag )?-([a-z-]+): (?:parse error|value out of range)$`)

// formOf says what the value of a flag looks like, where package flag only says that
// it could not read it.
func formOf(f *flag.Flag, err error) error {
	if g, ok := f.Value.(flag.Getter); ok {
		switch g.Get().(type) {
		case time.Duration:
			return errors.New("not a duration; write it like 10s, 2m or 1h")
		case int:
			return errors.New("not a whole number")
		case bool:
			return errors.New("neither true nor false")
		}
	}
	return err
}

// applyListeners turns the listener flags into listeners; given at all, they
// replace those of the file.
func (o *options) applyListeners(cfg *proxy.Config) error {
	if len(o.listen) > 0 || len(o.tlsListen) > 0 {
		cfg.Listen = nil
		for _, a := range o.listen {
			cfg.Listen = append(cfg.Listen, proxy.Listener{Address: a})
		}
		for _, a := range o.tlsListen {
			if o.tlsCert == "" || o.tlsKey == "" {
				return usageError{fmt.Errorf("--tls-listen %s needs --tls-cert and --tls-key", a)}
			}
			cfg.Listen = append(cfg.Listen, proxy.Listener{Address: a, TLS: &proxy.TLSFiles{Cert: o.tlsCert, Key: o.tlsKey}})
		}
	} else if o.tlsCert != "" || o.tlsKey != "" {
		return usageError{fmt.Errorf("--tls-cert and --tls-key need --tls-listen")}
	}
	for i := range cfg.Listen {
		l := &cfg.Listen[i]
		l.ProxyProtocol = l.ProxyProtocol || o.proxyProtocol
		l.RedirectHTTPS = l.RedirectHTTPS || o.redirectHTTPS && l.TLS == nil
	}
	return nil
}

// envOf names the environment variable of a flag.
func envOf(name string) string {
	return "DSPROXY_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// newFlags binds every flag to its field. The defaults that help shows are
// those of the fields.
func newFlags(cfg *proxy.Config, o *options) *flag.FlagSet {
	fs := flag.NewFlagSet("dsproxy", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}

	fs.Var(&o.listen, "listen", "`address` to serve plain HTTP on; may be repeated (default :8080)")
	fs.Var(&o.tlsListen, "tls-listen", "`address` to serve HTTPS on; may be repeated; needs --tls-cert and --tls-key")
	fs.StringVar(&o.tlsCert, "tls-cert", "", "PEM `file` with the certificate chain; read again when it changes")
	fs.StringVar(&o.tlsKey, "tls-key", "", "PEM `file` with the certificate's key")
	fs.BoolVar(&o.proxyProtocol, "proxy-protocol", false, "expect a PROXY protocol header (v1, v2) on every connection; needs --trust")
	fs.BoolVar(&o.redirectHTTPS, "redirect-https", false, "answer plain HTTP with a redirect to https")
	fs.Var((*listOf)(&cfg.Backends), "backends", "backends, separated by commas: `host:port` or URL, with ;w=2 for a weight; dns:// and srv:// names are looked up again and again")
	fs.Var(&o.join, "join", "`addresses`, separated by commas, of members of the nodes' gossip: host[:port] or a DNS name; may be repeated; backends are found by it, beside those of --backends")
	fs.StringVar(&cfg.Gossip.Bind, "bind", cfg.Gossip.Bind, "`IP:port` of the gossip, by TCP and UDP (default 0.0.0.0:7946)")
	fs.StringVar(&cfg.Gossip.Advertise, "advertise", cfg.Gossip.Advertise, "`host[:port]` by which other members reach this one (default a private address of this machine)")
	fs.StringVar(&cfg.Gossip.Key, "gossip-key", cfg.Gossip.Key, "`base64` of 16, 24 or 32 bytes that encrypt the gossip; better given as a variable or a file")
	fs.StringVar(&cfg.Gossip.Cluster, "cluster", cfg.Gossip.Cluster, "`name` of the cluster whose gossip is heard")
	fs.StringVar(&cfg.Redis, "redis", cfg.Redis, "Redis that the replicas share: `host:port`, redis://, rediss://, redis+sentinel:// or redis+cluster://; without it the table is in memory")
	fs.StringVar(&cfg.Admin, "admin", cfg.Admin, "`address` of the admin listener; empty turns it off")
	fs.Var((*networks)(&cfg.Trust), "trust", "`networks`, separated by commas, whose X-Forwarded-* and PROXY headers are believed")
	fs.StringVar(&cfg.Affinity.Cookie.Name, "cookie", cfg.Affinity.Cookie.Name, "`name` of a signed affinity cookie for requests that no rule claims")
	fs.StringVar(&o.config, "config", "", "YAML `file`")
	fs.BoolVar(&o.printConfig, "print-config", false, "print the configuration that results, without passwords, and exit")

	t := &cfg.Timeouts
	fs.DurationVar(&t.Header, "header-timeout", t.Header, "for a whole request head")
	fs.DurationVar(&t.Idle, "idle-timeout", t.Idle, "between two requests, inside a request body, and for a client that takes no bytes")
	fs.DurationVar(&t.Dial, "dial-timeout", t.Dial, "to connect to a backend")
	fs.DurationVar(&t.Response, "response-timeout", t.Response, "for a backend's response head; a long poll gets at least timeouts.long_poll")
	fs.DurationVar(&t.TunnelIdle, "tunnel-idle-timeout", t.TunnelIdle, "for a tunnel, or a streamed answer, in which nothing moves")
	fs.DurationVar(&cfg.Drain.Delay, "drain-delay", cfg.Drain.Delay, "between failing readiness and closing the listeners")
	fs.DurationVar(&cfg.Drain.Timeout, "drain-timeout", cfg.Drain.Timeout, "for requests and tunnels to end after that")
	fs.IntVar(&cfg.Limits.Connections, "max-conns", cfg.Limits.Connections, "client connections at once, tunnels included")
	fs.StringVar(&cfg.Log.Level, "log-level", cfg.Log.Level, "debug, info, warn or error")
	fs.StringVar(&cfg.Log.Format, "log-format", cfg.Log.Format, "text or json")
	fs.BoolVar(&cfg.Log.Access, "access-log", cfg.Log.Access, "log every request")
	return fs
}

// usage prints the commands and flags.
func usage(w io.Writer) {
	fmt.Fprint(w, `dsproxy keeps the sessions of realtime protocols on the backend that holds them.

  dsproxy [run] --backends host:port,host:port [--redis host:port] [flags]
  dsproxy [run] --join host:port [--redis host:port] [flags]
  dsproxy demo [--listen host:port] [--redis host:port]
                               a whole fleet on this machine: Redis, two nodes,
                               two proxies, a balancer, and a page to break it on
  dsproxy check [flags]        tell whether a configuration would be accepted
  dsproxy healthcheck [--ready] [flags]
                               ask a proxy on this machine whether it is alive or,
                               with --ready, ready for traffic
  dsproxy explain [flags] URL  ask a running proxy where a request would go, and why
  dsproxy version

Every flag can be given as an environment variable: --dial-timeout is
DSPROXY_DIAL_TIMEOUT. A flag wins over its variable, that over the file of
--config, and the file over the default.

`)
	cfg := proxy.Defaults()
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	newFlags(&cfg, &options{}).VisitAll(func(f *flag.Flag) {
		arg, text := flag.UnquoteUsage(f)
		def := ""
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0s" {
			def = " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(tw, "  --%s %s\t%s%s\n", f.Name, arg, text, def)
	})
	tw.Flush()
}

// list is a flag that may be repeated and takes commas too.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

// Set adds to the list.
func (l *list) Set(s string) error {
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			*l = append(*l, part)
		}
	}
	if len(*l) == 0 {
		return fmt.Errorf("is empty")
	}
	return nil
}

// listOf is a list that replaces what the file said.
type listOf []string

func (l *listOf) String() string { return strings.Join(*l, ",") }

// Set replaces the list.
func (l *listOf) Set(s string) error {
	var fresh list
	if err := fresh.Set(s); err != nil {
		return err
	}
	*l = listOf(fresh)
	return nil
}

type networks []proxy.Network

func (n *networks) String() string {
	var s []string
	for _, x := range *n {
		s = append(s, x.String())
	}
	return strings.Join(s, ",")
}

// Set replaces the list.
func (n *networks) Set(s string) error {
	var fresh []proxy.Network
	for part := range strings.SplitSeq(s, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		x, err := proxy.ParseNetwork(part)
		if err != nil {
			return err
		}
		fresh = append(fresh, x)
	}
	*n = fresh
	return nil
}
