# Short names for what the documents explain. Nothing here is needed to build.
.PHONY: build test quick bench bench-server bench-cluster fuzz demo packages images check-deploy

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

bench-cluster: ## two nodes joined by Redis beside two of deepstream.io
	go run ./server/bench -works cluster-saturated,cluster-fixed,cluster-alone

check-deploy: ## Helm chart, rules of Prometheus, dashboards of Grafana
	cd deploy/check && go vet ./... && go test -count=1 -timeout 30m ./...

packages: ## deb and rpm of both programs for amd64 and arm64, in dist/
	deploy/packages/build.sh

# Of a tag it is the version; docker needs BuildKit.
VERSION ?= $(shell git describe --tags --always --dirty)
images:
	for program in dsproxy deepstream; do \
		docker build -f deploy/docker/Dockerfile --target $$program -t $$program:$(VERSION) \
			--build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD) . || exit 1; \
	done

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
