// Package check tests what a user applies that needs tools too large for the main
// module: the Helm chart (rendered by Helm's own engine, decoded into the types of
// Kubernetes), the rules of Prometheus (by promtool) and the dashboards of Grafana.
// It is a module of its own, so that nobody who builds dsproxy downloads them.
//
//	cd deploy/check && go test -count=1 ./...
//
// Go does not see that files outside of this module change, so results that it keeps
// would be stale: -count=1.
package check
