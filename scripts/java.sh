#!/bin/sh
# Finds (or installs) Java for Spark and keeps its home in .venv/java-home, where the Makefile reads it.
set -eu
cd "$(dirname "$0")/.."

known=$(cat .venv/java-home 2>/dev/null || true)
if [ -n "$known" ] && [ -x "$known/bin/java" ] && [ "${JAVA_HOME:-$known}" = "$known" ]; then
    exit 0
fi
home=$(.venv/bin/python -m embedded.java)
echo "$home" >.venv/java-home
