#!/bin/sh
# Builds the deb and rpm of both programs into dist/, with their checksums:
#   deploy/packages/build.sh [ARCH...]      amd64 and arm64 unless given
# VERSION is the tag, or 0.0.0 and the commit where there is none; DIST another
# folder. What is built of one commit is the same, byte for byte, wherever it is built.
set -eu
cd "$(dirname "$0")/../.."
here=deploy/packages
nfpm=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.4

version=${VERSION:-$(git describe --tags --match 'v*' --dirty 2>/dev/null ||
	echo "0.0.0-dev.$(git rev-list --count HEAD)+$(git rev-parse --short HEAD)")}
version=${version#v}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
dist=${DIST:-dist}
mkdir -p "$dist"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

GOBIN=$work go install $nfpm
for program in dsproxy deepstream; do
	case $program in
	dsproxy)
		config=dsproxy.yaml example=deploy/dsproxy.example.yaml readme=README.md package=proxy
		summary='sticky-session edge proxy for realtime fleets'
		description='Keeps the sessions of socket.io, SignalR, deepstream and others on their backend, without cookies.'
		;;
	deepstream)
		config=config.yml example=server/config/example.yml readme=server/COMPATIBILITY.md package=server
		summary='realtime node for the clients of deepstream.io 1 to 10'
		description='Records, events, calls and presence, for one node or a cluster joined by Redis.'
		;;
	esac
	for arch in ${*:-amd64 arm64}; do
		stage=$work/$program-$arch
		mkdir -p "$stage"
		CGO_ENABLED=0 GOOS=linux GOARCH=$arch go build -trimpath -buildvcs=false -o "$stage/$program" \
			-ldflags "-s -w -X github.com/dsproxy/dsproxy/$package.version=v$version" ./cmd/$program
		for file in $here/nfpm.yaml $here/scripts/*; do
			sed -e "s|@PROGRAM@|$program|g" -e "s|@CONFIG@|$config|g" -e "s|@SUMMARY@|$summary|g" \
				-e "s|@DESCRIPTION@|$description|g" \
				-e "s|@VERSION@|$version|g" -e "s|@ARCH@|$arch|g" -e "s|@STAGE@|$stage|g" \
				-e "s|@EXAMPLE@|$example|g" -e "s|@README@|$readme|g" -e "s|@README_NAME@|$(basename $readme)|g" \
				"$file" >"$stage/$(basename "$file")"
		done
		for format in deb rpm; do
			"$work/nfpm" package --config "$stage/nfpm.yaml" --packager $format --target "$dist/"
		done
	done
done
cd "$dist"
sha256sum -- *.deb *.rpm >SHA256SUMS
