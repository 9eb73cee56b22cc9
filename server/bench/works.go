package main

// work is one kind of load. The functions that carry it out are in play_linux.go.
type work struct {
	name, title string
	unit        string
	// goal is the most that the node may take of the original's figure, or,
	// for idle, bytes a client.
	goal float64
	// latency says that the percentiles are compared, too.
	latency bool
	// cluster says that there are two nodes joined by a Redis, and the publisher
	// is not on that of the subscribers.
	cluster bool
}

// Names of the works.
const (
	saturated = "saturated"
	fixed     = "fixed"
	pairs     = "pairs"
	patch     = "patch"
	calls     = "rpc"
	logins    = "logins"
	idle      = "idle"

	clusterSaturated = "cluster-saturated"
	clusterFixed     = "cluster-fixed"
	clusterAlone     = "cluster-alone"
)

// works are in the order of the table. The record patch has no goal of its own and
// gets that of the pairs.
var works = []work{
	{name: saturated, title: "event to 1,000 subscribers, as fast as it goes", unit: "delivery", goal: 1.0 / 15},
	{name: fixed, title: "event to 1,000 subscribers, 10,000 deliveries/s", unit: "delivery", goal: 0.65, latency: true},
	{name: pairs, title: "500 pairs, one event under way in each", unit: "event", goal: 0.4},
	{name: patch, title: "record patch to 1,000 subscribers", unit: "delivery", goal: 0.4},
	{name: calls, title: "rpc, 64 at a time", unit: "call", goal: 0.4},
	{name: logins, title: "connect, log in, close, 16 at a time", unit: "login", goal: 0.4},
	{name: idle, title: "memory of an idle logged-in client", unit: "client", goal: 8 << 10},

	{name: clusterSaturated, title: "event to 1,000 subscribers on another node, as fast as it goes", unit: "delivery", goal: 0.1, cluster: true},
	{name: clusterFixed, title: "event to 1,000 subscribers on another node, 10,000 deliveries/s", unit: "delivery", goal: 0.65, latency: true, cluster: true},
	{name: clusterAlone, title: "event that no other node wants", unit: "event", goal: 0.001, cluster: true},
}

// workNames are those of one node or those of a cluster, or all.
func workNames(which ...bool) []string {
	var names []string
	for _, w := range works {
		if len(which) == 0 || w.cluster == which[0] {
			names = append(names, w.name)
		}
	}
	return names
}

// How many clients the works have.
const (
	fanout     = 1000
	perSecond  = 10000
	pairCount  = 500
	callers    = 64
	loginsAt   = 16
	window     = 100 // events ahead of the subscribers' average
	eventData  = `{"id":4711,"text":"the quick brown fox","price":12.5,"ok":true}`
	eventName  = "news/today"
	recordName = "weather/here"
)
