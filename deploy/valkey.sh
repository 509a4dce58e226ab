#!/bin/sh
# Valkey with its configuration on standard input: the password is in no argument and in no file.
set -eu
exec "$@" - <<CONFIGURATION
port 6379
requirepass $VALKEY_PASSWORD
dir /data
appendonly yes
appendfsync everysec
save ""
maxmemory ${VALKEY_MAXMEMORY:-0}
maxmemory-policy noeviction
CONFIGURATION
