#!/bin/sh
# Valkey with its configuration on standard input: the passwords are in no argument and in no file.
# The user `reader` is for the replicas of the REST API: it gets lists, and may do nothing else.
set -eu
exec "$@" - <<CONFIGURATION
port 6379
requirepass $VALKEY_PASSWORD
user reader on >$VALKEY_READER_PASSWORD ~nightfold:* -@all +get +mget +hgetall +@connection -@dangerous +cluster|slots
dir /data
appendonly yes
appendfsync everysec
save ""
maxmemory ${VALKEY_MAXMEMORY:-0}
maxmemory-policy noeviction
CONFIGURATION
