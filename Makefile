# Short names for what the documents explain. Nothing here is needed to build.
.PHONY: build test quick bench bench-server fuzz demo

build:
	go build -o dsproxy ./cmd/dsproxy
	go build -o deepstream ./cmd/deepstream

test: ## everything, as CI does
	./test.sh

quick: ## without the end-to-end tests
	./test.sh quick

bench: ## dsproxy beside nginx, HAProxy and httputil
	go run ./proxy/bench

bench-server: ## the node beside deepstream.io
	go run ./server/bench

demo:
	go run ./cmd/dsproxy demo

# fuzz runs every fuzz test for FUZZTIME each.
FUZZTIME ?= 30s
fuzz:
	@for pkg in $$(go list ./...); do \
		for f in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "== $$pkg $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done
