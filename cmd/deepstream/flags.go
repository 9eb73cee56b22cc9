package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"
	"text/tabwriter"

	"github.com/dsproxy/dsproxy/server/config"
)

// options are the flags of the commands.
type options struct {
	config  string
	libDir  string
	host    string
	port    string
	admin   string
	level   string
	redis   string
	colors  optional
	noAuth  bool
	noPerms bool
	version bool
	cluster clusterFlags
}

var errShowVersion = errors.New("version asked for")

// optional is a flag that may stand without a value, as the original's --colors.
type optional string

func (o *optional) String() string { return string(*o) }

// IsBoolFlag lets the flag stand alone.
func (o *optional) IsBoolFlag() bool { return true }

// Set takes true and false only.
func (o *optional) Set(s string) error {
	if s != "true" && s != "false" {
		return errors.New("must be true or false")
	}
	*o = optional(s)
	return nil
}

// newFlags are the flags of a command; start has all of them.
func newFlags(command string, o *options) *flag.FlagSet {
	fs := flag.NewFlagSet("deepstream "+command, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	fs.StringVar(&o.config, "config", "", "configuration `file`; files that it names are looked for in its directory")
	fs.StringVar(&o.config, "c", "", "the same")
	if command == "hash" {
		return fs
	}
	fs.StringVar(&o.libDir, "lib-dir", "", "`directory` of plugins; accepted and not used, there are no plugins")
	fs.StringVar(&o.libDir, "l", "", "the same")
	if command == "info" {
		return fs
	}
	fs.StringVar(&o.host, "host", "", "`address` to listen on")
	fs.StringVar(&o.port, "port", "", "`port` to listen on, 0 for any that is free (default 6020)")
	fs.StringVar(&o.admin, "admin", "", "`address` of health, readiness and metrics, or off (default 127.0.0.1:9120, or the next free port)")
	o.cluster.add(fs)
	fs.StringVar(&o.level, "log-level", "", "`level` debug, info, warn, error or off (default info)")
	fs.StringVar(&o.redis, "redis", "", "`host:port` or URL of a Redis as cache of the records and as bus to the other nodes: redis://, rediss://, redis+sentinel:// or redis+cluster://")
	fs.Var(&o.colors, "colors", "`true` or false; accepted and not used, the log has no colours")
	fs.BoolVar(&o.noAuth, "disable-auth", false, "let everyone in, whatever the file says")
	fs.BoolVar(&o.noPerms, "disable-permissions", false, "allow everything, whatever the file says")
	fs.BoolVar(&o.version, "version", false, "print the version")
	return fs
}

// parse takes flags and positional arguments in any order, as the original's
// command line does.
func parse(fs *flag.FlagSet, args []string, positional int) ([]string, error) {
	args = joinColors(args)
	var rest []string
	for {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, usageError{fmt.Errorf("%w; deepstream help lists the flags", err)}
		}
		if fs.NArg() == 0 {
			break
		}
		rest = append(rest, fs.Arg(0))
		args = fs.Args()[1:]
	}
	if len(rest) > positional {
		return nil, usageError{fmt.Errorf("unexpected argument %q; flags start with --", rest[positional])}
	}
	return rest, nil
}

// joinColors makes one argument of "--colors false".
func joinColors(args []string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		a := args[i]
		if (a == "--colors" || a == "-colors") && i+1 < len(args) && (args[i+1] == "true" || args[i+1] == "false") {
			i++
			a += "=" + args[i]
		}
		out = append(out, a)
	}
	return out
}

// envOf names the environment variable of a flag.
func envOf(name string) string {
	return "DEEPSTREAM_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// fromEnv sets the flags that were not given from the environment.
func fromEnv(fs *flag.FlagSet, getenv func(string) string) error {
	given := map[string]bool{"c": true, "l": true, "config": true, "lib-dir": true, "version": true}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var bad error
	fs.VisitAll(func(f *flag.Flag) {
		v := getenv(envOf(f.Name))
		// A Kubernetes service called deepstream sets DEEPSTREAM_PORT to an
		// address of this form.
		if v == "" || given[f.Name] || bad != nil || strings.HasPrefix(v, "tcp://") {
			return
		}
		if err := fs.Set(f.Name, v); err != nil {
			bad = usageError{fmt.Errorf("%s must be true or false, not %q", envOf(f.Name), v)} // others take any text
		}
	})
	return bad
}

// apply puts the flags over the settings of the file.
func (o *options) apply(s *config.Settings) error {
	host, port, err := net.SplitHostPort(s.Node.Addr)
	if err != nil {
		return fmt.Errorf("address to listen on: %w", err)
	}
	if o.host != "" {
		host = strings.TrimSuffix(strings.TrimPrefix(o.host, "["), "]") // an IPv6 address as in a URL
	}
	if o.port != "" {
		if _, err := net.LookupPort("tcp", o.port); err != nil || strings.Trim(o.port, "0123456789") != "" {
			return usageError{fmt.Errorf("--port must be a number up to 65535, not %q", o.port)}
		}
		port = o.port
	}
	s.Node.Addr = net.JoinHostPort(host, port)
	switch {
	case o.admin == "off":
		s.Node.AdminAddr, s.AdminGiven = "", true
	case o.admin != "":
		if !config.IsListenAddress(o.admin) {
			return usageError{fmt.Errorf("--admin must be host:port or off, not %q", o.admin)}
		}
		s.Node.AdminAddr, s.AdminGiven = o.admin, true
	}
	if o.level != "" {
		level, ok := config.ParseLevel(o.level)
		if !ok {
			return usageError{fmt.Errorf("--log-level must be one of debug, info, warn, error and off, not %q", o.level)}
		}
		s.Log.Level = level
	}
	if o.redis != "" {
		if err := s.UseRedis(o.redis); err != nil {
			return usageError{fmt.Errorf("--redis: %w", err)}
		}
	}
	if err := o.cluster.apply(s); err != nil {
		return err
	}
	return s.Validate()
}

func usage(w io.Writer) {
	fmt.Fprint(w, `deepstream is a realtime node: records, events, calls and presence for the
clients of deepstream.io 1 to 10.

  deepstream [start] [flags]       run a node
  deepstream check [flags]         tell whether a configuration would be accepted
  deepstream healthcheck [--ready] [flags]
                                   ask a node on this machine whether it is alive
                                   or, with --ready, ready for clients
  deepstream hash [-c file] WORD   hash a password as the file auth of the
                                   configuration wants it; - reads it from
                                   standard input
  deepstream info                  print the version and what it was built of, as JSON
  deepstream version

Without -c the configuration is the first of /etc/deepstream/conf, conf/config and
../conf/config, the same beside the program, /etc/deepstream/config and
/usr/local/etc/deepstream/config that is there, with the extension .yml, .yaml or
.json. Without any, everyone may log in and records are kept in memory.

Flags of start; each is also read from the environment, --log-level as
DEEPSTREAM_LOG_LEVEL. A flag wins over its variable, that over the file, and the
file over the default.

`)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	newFlags("start", &options{}).VisitAll(func(f *flag.Flag) {
		arg, text := flag.UnquoteUsage(f)
		switch f.Name {
		case "c", "l":
			return
		case "config":
			fmt.Fprintf(tw, "  -c, --config %s\t%s\n", arg, text)
		case "lib-dir":
			fmt.Fprintf(tw, "  -l, --lib-dir %s\t%s\n", arg, text)
		default:
			fmt.Fprintf(tw, "  --%s %s\t%s\n", f.Name, arg, text)
		}
	})
	tw.Flush()
}
