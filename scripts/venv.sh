#!/bin/sh
# Makes .venv exactly what requirements.lock says. Idempotent: nothing changed, nothing done.
set -eu
cd "$(dirname "$0")/.."
umask 022 # PostgreSQL runs as another user and must read its own files

UV=0.13.9
OLDEST=3.11
LIMIT='import sys; sys.exit(sys.version_info[:2] < (3, 11))'
VENV=.venv/bin/python

say() { echo "nightfold: $*" >&2; }
stop() { say "$@"; exit 1; }

python_of_this_machine() { # the lock was made for 3.11, so that one first
    for name in python3.11 python3.12 python3.13 python3 python; do
        if command -v "$name" >/dev/null 2>&1 && "$name" -c "$LIMIT" 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    stop "Python $OLDEST or newer is needed, and $(python3 --version 2>/dev/null || echo 'no Python') was found: install python3.11"
}

make_venv() {
    python=$(python_of_this_machine)
    rm -rf .venv
    if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        "$python" -m venv .venv
        return
    fi
    package="$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "installing $package: $python cannot make virtual environments"
        DEBIAN_FRONTEND=noninteractive sh -c "apt-get update -qq && apt-get install -y -qq --no-install-recommends $package" >&2 ||
            stop "apt-get failed: install $package by hand"
        "$python" -m venv .venv
    else
        stop "$python cannot make virtual environments: sudo apt-get install $package"
    fi
}

install_with_uv() {
    $VENV -m pip install --quiet --disable-pip-version-check "uv==$UV" &&
        .venv/bin/uv pip sync --quiet --compile-bytecode --python $VENV requirements.lock &&
        .venv/bin/uv pip install --quiet --python $VENV --no-deps --editable .
}

install_with_pip() {
    $VENV -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock &&
        $VENV -m pip install --quiet --disable-pip-version-check --no-deps --editable .
}

fingerprint() { # of all that .venv is made from; its programs name this folder, so a moved checkout is another
    cat requirements.lock pyproject.toml scripts/venv.sh | $VENV -c '
import hashlib, os, sys
print(hashlib.sha256(sys.stdin.buffer.read() + f"{sys.version} {os.getcwd()}".encode()).hexdigest())'
}

if ! $VENV -c "$LIMIT" 2>/dev/null; then
    make_venv
elif [ "$(fingerprint)" = "$(cat .venv/fingerprint 2>/dev/null)" ]; then
    exit 0
elif ! grep -qF "$(pwd -P)/.venv" .venv/bin/activate || ! $VENV -m pip --version >/dev/null 2>&1; then
    make_venv # the checkout has moved, or a set-up was cut off
fi
say "installing $(grep -c == requirements.lock) packages into .venv"
if ! install_with_uv; then
    say "uv could not install them (does pip have an index of its own, which uv does not know?): trying pip, which takes longer"
    install_with_pip || stop "pip could not install requirements.lock either: see above"
fi
fingerprint >.venv/fingerprint
