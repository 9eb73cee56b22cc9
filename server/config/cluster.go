package config

import (
	"encoding/base64"
	"net"
)

// DefaultCluster is the name of a cluster that has none.
const DefaultCluster = "deepstream"

// maxWeight is the most that dsproxy takes.
const maxWeight = 1000

// ClusterSettings say how nodes and proxies find each other by gossip.
type ClusterSettings struct {
	// Name keeps clusters apart. NameGiven says that it was chosen, be it
	// DefaultCluster: the keys in Redis of a node without a bus depend on it.
	Name      string
	NameGiven bool
	// Join are members, each a host[:port] or a DNS name for all its addresses.
	Join []string
	// Bind is the IP:port to listen on, Advertise the host[:port] that others use;
	// empty for the defaults.
	Bind, Advertise string
	// Key encrypts: base64 of 16, 24 or 32 bytes; empty for no encryption.
	Key string
	// Zone and Weight are told to dsproxy.
	Zone   string
	Weight int
	// Address is the host:port at which dsproxy reaches the node; empty for the
	// address that is advertised, with the port of the clients.
	Address string
}

// On reports whether the node gossips.
func (c *ClusterSettings) On() bool { return len(c.Join) > 0 || c.Bind != "" }

// readGossip reads the section cluster, which the original does not have.
func readGossip(s *section, c *ClusterSettings) {
	c.NameGiven = s.text("name", &c.Name)
	s.texts("join", &c.Join)
	s.text("bind", &c.Bind)
	s.text("advertise", &c.Advertise)
	if s.text("key", &c.Key) {
		key, err := base64.StdEncoding.DecodeString(c.Key)
		if n := len(key); err != nil || n != 16 && n != 24 && n != 32 {
			s.fail("key", "must be base64 of 16, 24 or 32 bytes, such as openssl rand -base64 32 prints")
		}
	}
	s.text("zone", &c.Zone)
	s.number("weight", &c.Weight, 1, maxWeight)
	if s.text("address", &c.Address) {
		if _, _, err := net.SplitHostPort(c.Address); err != nil {
			s.fail("address", "must be host:port")
		}
	}
	s.close()
}
