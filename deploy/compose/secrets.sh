#!/bin/sh
# Writes the secrets of the fleet to .env, which compose reads; an .env that is there
# is left alone.
set -eu
cd "$(dirname "$0")"
[ ! -e .env ] || { echo ".env is there already" >&2; exit 0; }
umask 077
printf 'REDIS_PASSWORD=%s\nGOSSIP_KEY=%s\n' "$(openssl rand -hex 24)" "$(openssl rand -base64 32)" >.env
