#!/bin/sh
# Passes all tests on a fresh Debian or Mac that has Go and Node: installs what
# is missing, then checks and tests everything. Usage: ./test.sh [quick]
#   quick   leaves out the end-to-end tests with real clients
set -eu
cd "$(dirname "$0")"

say() { printf '\n== %s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }

# chrome prints where a Chrome or Chromium is.
chrome() {
	for c in "${CHROME:-}" /usr/bin/chromium /usr/bin/chromium-browser /usr/bin/google-chrome \
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" \
		"/Applications/Chromium.app/Contents/MacOS/Chromium"; do
		if [ -n "$c" ] && [ -x "$c" ]; then
			echo "$c"
			return
		fi
	done
}

need() { # need COMMAND-OR-TRUTH DEBIAN-PACKAGE BREW-PACKAGE
	if have apt-get; then
		apt_wanted="$apt_wanted $2"
	elif have brew; then
		brew_wanted="$brew_wanted $3"
	else
		echo "$1 is missing: install it and run again" >&2
		exit 1
	fi
}

say "tools"
for tool in go node npm; do
	have $tool || { echo "$tool is needed and was not found; the README names the versions" >&2; exit 1; }
done
apt_wanted="" brew_wanted=""
have gcc || have clang || need gcc "gcc libc6-dev" gcc
have redis-server || need redis-server redis-server redis
if have dpkg; then have ip || need ip iproute2 iproute2mac; fi # hosts in network namespaces
if have dpkg; then have rpm || need rpm rpm rpm; fi # installs the packages in a copy of the machine
if have dpkg; then have systemd-analyze || need systemd systemd systemd; fi # verifies their units, and runs them there
if have dpkg; then have pgrep || need pgrep procps procps; fi
if [ "${1:-}" != quick ] && [ -z "$(chrome)" ]; then
	need chromium chromium chromium
fi
if [ -n "$apt_wanted" ]; then
	sudo=""
	[ "$(id -u)" = 0 ] || sudo=sudo
	$sudo apt-get update -qq
	# shellcheck disable=SC2086 # a list of packages
	DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $apt_wanted >/dev/null
fi
if [ -n "$brew_wanted" ]; then
	# shellcheck disable=SC2086
	brew install $brew_wanted
fi
go version
echo "node $(node --version), $(redis-server --version | cut -d' ' -f1-3)"

say "gofmt"
unformatted=$(git ls-files '*.go' | xargs gofmt -l)
[ -z "$unformatted" ] || { echo "not formatted: $unformatted" >&2; exit 1; }

say "go vet"
go vet ./...
go vet -tags e2e ./proxy/e2e/... ./server/e2e/... ./cmd/dsproxy/...

say "staticcheck"
go tool staticcheck -tags e2e ./...

say "go test -race"
go test -race ./...

if [ "${1:-}" = quick ]; then
	exit
fi
say "chart, rules and dashboards"
staticcheck=$(go tool -n staticcheck)
(cd deploy/check && go vet ./... && "$staticcheck" ./... && go test -count=1 -timeout 30m ./...) # its files lie outside of the module, so nothing is cached
say "npm packages"
for dir in proxy/e2e server/e2e; do # the fleet's sessions are those of server/e2e
	(cd $dir && npm ci --no-audit --no-fund --loglevel=error)
done
for dir in proxy/e2e server/e2e; do
	say "end to end: $dir"
	go test -count=1 -race -tags e2e -timeout 15m ./$dir/... # the cache does not know the programs that these build
done
say "end to end: cmd/dsproxy"
go test -count=1 -race -tags e2e -timeout 5m ./cmd/dsproxy
