package affinity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// RedisForms are the forms --redis takes, for help and error messages.
const RedisForms = `host:port, redis://[user:password@]host:port/db, ` +
	`redis+sentinel://[user:password@]host:port,host:port/db?master=name or ` +
	`redis+cluster://[user:password@]host:port,host:port, ` +
	`each also as rediss... for TLS with the options ca=file and server_name=name`

// redisTarget is what a URL says. User and password are those of the data
// nodes; sentinels have their own, given as options.
type redisTarget struct {
	addrs                      []string
	cluster, tls               bool
	master                     string
	user, password             string
	sentinelUser, sentinelPass string
	db                         int
	ca, serverName             string
}

// parseRedisURL parses by hand because net/url takes no list of hosts, and puts
// the whole URL, its password too, into its errors.
func parseRedisURL(s string) (redisTarget, error) {
	t, err := parseRedisTarget(s)
	if err != nil {
		return redisTarget{}, fmt.Errorf("--redis: %w; it takes %s", err, RedisForms)
	}
	return t, nil
}

func parseRedisTarget(s string) (t redisTarget, err error) {
	scheme, rest, found := strings.Cut(s, "://")
	if !found {
		scheme, rest = "redis", s
	}
	defaultPort, sentinel := "6379", false
	switch strings.ToLower(scheme) {
	case "redis":
	case "rediss":
		t.tls = true
	case "redis+cluster", "rediss+cluster":
		t.cluster, t.tls = true, strings.HasPrefix(strings.ToLower(scheme), "rediss")
	case "redis+sentinel", "rediss+sentinel":
		sentinel, t.tls = true, strings.HasPrefix(strings.ToLower(scheme), "rediss")
		defaultPort = "26379"
	default:
		// A password pasted without its scheme may be what stands here.
		return t, errors.New("the scheme is not known")
	}
	rest, query, _ := strings.Cut(rest, "?")
	// The last @ ends user and password; then comes no other one.
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		if err := t.parseUser(rest[:i]); err != nil {
			return t, err
		}
		rest = rest[i+1:]
	}
	hosts, db, _ := strings.Cut(rest, "/")
	if t.addrs, err = parseHosts(hosts, defaultPort); err != nil {
		// With an unescaped sign in a password what looks like a host may be a
		// piece of it: quoted only where there can be no password.
		if strings.Contains(s, "@") {
			err = errors.New("the hosts are not host:port; in a user or password the signs @ : / ? # % are written as %XX")
		}
		return t, err
	}
	if err := t.parseDB(db); err != nil {
		return t, err
	}
	if err := t.parseOptions(query); err != nil {
		return t, err
	}
	switch {
	case sentinel && t.master == "":
		return t, errors.New("redis+sentinel needs the option master=, the name the sentinels give the Redis they watch")
	case !sentinel && t.master != "":
		return t, errors.New("the option master= is for redis+sentinel")
	case !sentinel && t.sentinelUser+t.sentinelPass != "":
		return t, errors.New("the options sentinel_user= and sentinel_password= are for redis+sentinel")
	case t.cluster && t.db != 0:
		return t, errors.New("a cluster has no database but 0")
	case !sentinel && !t.cluster && len(t.addrs) > 1:
		return t, errors.New("several hosts are for redis+sentinel and redis+cluster")
	case !t.tls && t.ca+t.serverName != "":
		return t, errors.New("the options ca= and server_name= need TLS, that is a scheme that starts with rediss")
	}
	return t, nil
}

func (t *redisTarget) parseUser(s string) error {
	user, password, found := strings.Cut(s, ":")
	if !found {
		return errors.New("before the @ stands user:password, or :password")
	}
	var err1, err2 error
	t.user, err1 = url.PathUnescape(user)
	t.password, err2 = url.PathUnescape(password)
	if err1 != nil || err2 != nil {
		return errors.New("user or password holds a % that is no %XX; write it as %25")
	}
	return nil
}

func parseHosts(s, defaultPort string) ([]string, error) {
	var addrs []string
	for addr := range strings.SplitSeq(s, ",") {
		host, port := addr, defaultPort
		switch {
		case strings.HasPrefix(addr, "[") && strings.HasSuffix(addr, "]"):
			host = addr[1 : len(addr)-1]
		case strings.Contains(addr, ":"):
			var err error
			if host, port, err = net.SplitHostPort(addr); err != nil {
				return nil, fmt.Errorf("%q is no host:port", addr)
			}
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("%q has no port between 1 and 65535", addr)
		}
		if host == "" || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == '%' || r == '[' || r == ']' }) {
			return nil, fmt.Errorf("%q has no host", addr)
		}
		addrs = append(addrs, net.JoinHostPort(host, port))
	}
	return addrs, nil
}

func (t *redisTarget) parseDB(s string) error {
	if s == "" {
		return nil
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return errors.New("after the host comes / and the number of a database, or nothing")
	}
	t.db = int(n)
	return nil
}

func (t *redisTarget) parseOptions(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("after the ? come options as name=value&name=value, with %XX for signs that have a meaning here")
	}
	texts := map[string]*string{
		"master":            &t.master,
		"ca":                &t.ca,
		"server_name":       &t.serverName,
		"sentinel_user":     &t.sentinelUser,
		"sentinel_password": &t.sentinelPass,
	}
	for name, value := range values {
		switch target := texts[name]; {
		case len(value) != 1 || value[0] == "":
			return fmt.Errorf("%s needs one value", optionName(name))
		case target != nil:
			*target = value[0]
		case name == "db":
			if err := t.parseDB(value[0]); err != nil {
				return errors.New("the option db= takes the number of a database")
			}
		default:
			known := []string{"db"}
			for k := range texts {
				known = append(known, k)
			}
			slices.Sort(known)
			return fmt.Errorf("%s is not known; there are %s", optionName(name), strings.Join(known, ", "))
		}
	}
	return nil
}

// optionName names an option in an error, unless it may be a piece of something
// secret, such as a password with a "?" in it.
func optionName(name string) string {
	if len(name) > 20 || strings.ContainsFunc(name, func(r rune) bool { return (r < 'a' || r > 'z') && r != '_' }) {
		return "an option"
	}
	return "the option " + name + "="
}

func (t *redisTarget) options() (*redis.UniversalOptions, error) {
	o := &redis.UniversalOptions{
		Addrs:            t.addrs,
		IsClusterMode:    t.cluster,
		MasterName:       t.master,
		Username:         t.user,
		Password:         t.password,
		SentinelUsername: t.sentinelUser,
		SentinelPassword: t.sentinelPass,
		DB:               t.db,
	}
	if !t.tls {
		return o, nil
	}
	o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.serverName}
	if t.ca != "" {
		pem, err := os.ReadFile(t.ca)
		if err != nil {
			return nil, fmt.Errorf("--redis: the CA file: %w", err)
		}
		o.TLSConfig.RootCAs = x509.NewCertPool()
		if !o.TLSConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--redis: the CA file %s holds no PEM certificate", t.ca)
		}
	}
	return o, nil
}
