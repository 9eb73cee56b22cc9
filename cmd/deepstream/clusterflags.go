package main

import (
	"flag"
	"fmt"
	"strconv"
	"strings"

	"github.com/dsproxy/dsproxy/server/config"
)

// clusterFlags are those by which nodes and proxies find each other; given, they
// win over the section cluster of the file.
type clusterFlags struct {
	name, cluster, bind, advertise, key, zone, weight, public string
	join                                                      list
}

func (c *clusterFlags) add(fs *flag.FlagSet) {
	fs.StringVar(&c.name, "name", "", "`name` of the node, which no other may have (default a random one)")
	fs.StringVar(&c.cluster, "cluster", "", "`name` of the cluster, in every channel and key of Redis; others are not heard (default deepstream)")
	fs.Var(&c.join, "join", "`addresses`, separated by commas, of members to join by gossip: host[:port] or a DNS name; may be repeated")
	fs.StringVar(&c.bind, "bind", "", "`IP:port` of the gossip, by TCP and UDP; it is on when this or --join is given (default 0.0.0.0:7946)")
	fs.StringVar(&c.advertise, "advertise", "", "`host[:port]` by which other members reach this one (default a private address of the machine)")
	fs.StringVar(&c.key, "gossip-key", "", "`base64` of 16, 24 or 32 bytes that encrypt the gossip; better given as a variable")
	fs.StringVar(&c.zone, "zone", "", "`zone` of the node, as dsproxy shows it")
	fs.StringVar(&c.weight, "weight", "", "`share` of the sessions that dsproxy gives, 1 to 1000 (default 1)")
	fs.StringVar(&c.public, "public", "", "`host:port` at which dsproxy reaches this node (default the advertised address and --port)")
}

func (c *clusterFlags) apply(s *config.Settings) error {
	to := &s.Cluster
	for _, f := range []struct {
		given string
		to    *string
	}{
		{c.name, &s.Node.Name}, {c.cluster, &to.Name}, {c.bind, &to.Bind}, {c.advertise, &to.Advertise},
		{c.key, &to.Key}, {c.zone, &to.Zone}, {c.public, &to.Address},
	} {
		if f.given != "" {
			*f.to = f.given
		}
	}
	to.NameGiven = to.NameGiven || c.cluster != ""
	if len(c.join) > 0 {
		to.Join = c.join
	}
	if c.weight != "" {
		n, err := strconv.Atoi(c.weight)
		if err != nil || n < 1 || n > 1000 {
			return usageError{fmt.Errorf("--weight must be a number from 1 to 1000, not %q", c.weight)}
		}
		to.Weight = n
	}
	return checkMember(s)
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
	return nil
}
