// Package e2e drives the node with the real clients of three generations, which
// npm installs from the lock file beside it:
//
//	npm ci --prefix server/e2e && go test -tags e2e ./server/e2e
//
// What the clients do is script.js and its parts; testdata/script.jsonl is what
// they have to see, whoever talks to whom, and clients.js says what a generation
// has no call for. The script takes an address for each client, so it plays
// against nodes of a cluster, or with a proxy before them, just as well:
//
//	node script.js http://127.0.0.1:6020,http://127.0.0.1:6021 7,1,2
//
// follow.js follows one record, from whose Redis the last write is taken.
//
// What clients of deepstream 1 are told over long-polling is compared, byte for
// byte, with deepstream.io 1.1.1 itself (original_test.go). Records in Redis are shared
// with the connector that deepstream.io 4 to 10 has for it (original_cache_test.go).
package e2e
