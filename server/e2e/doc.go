// Package e2e drives the node with the real clients of three generations, which
// npm installs from the lock file beside it:
//
//	npm ci --prefix server/e2e && go test -tags e2e ./server/e2e
package e2e
