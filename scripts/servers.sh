#!/bin/sh
# Installs what Debian has and PyPI has not: HAProxy, the balancer of `make up-serving`, and for tests a Redis with TLS and what makes its certificate.
# INSTALL_SERVERS=0 only looks for them.
set -eu

missing=
for package in haproxy redis-server openssl; do
    PATH="$PATH:/usr/sbin" command -v "$package" >/dev/null || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "${INSTALL_SERVERS:-1}" = 0 ] || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing:$missing: install them (Debian: apt-get install$missing)" >&2
    exit 1
fi
echo "installing$missing"
# RUNLEVEL=1: the packages' own services are not started.
{ apt-get -qq update && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $missing; } >/dev/null
