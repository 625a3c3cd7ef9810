#!/usr/bin/env bash
# Makes .venv from the pinned and hashed requirements, and installs the project in it, editable.
# Running it again costs nothing: two stamps in .venv say what it was made from.
set -euo pipefail
cd "$(dirname "$0")/.."
# pip compiles what it installs only where this is not set.
unset PYTHONDONTWRITEBYTECODE

python="${PYTHON:-python3}"
venv=.venv
log="$venv/install.log"

fail() {
    printf 'dev/venv.sh: %s\n' "$1" >&2
    exit 1
}

require_python() {
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
        fail "$python is not Python 3.11 or newer; name one: make venv PYTHON=/path/to/python3.11"
    "$python" -c 'import ensurepip, venv' 2>/dev/null && return
    # Debian splits venv off its python3; nothing else is ever installed here.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        { apt-get update && apt-get install --yes --no-install-recommends python3-venv; } \
            >/dev/null 2>&1 || true
    fi
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot make virtual environments; install python3-venv and repeat"
}

# Which interpreter this is, told from inside or outside its virtual environment alike.
identity() {
    "$1" -c 'import sys; print(sys.version, sys.base_prefix)' 2>/dev/null
}

# What a stamp holds: the interpreter and the contents of the files that decide the result.
fingerprint() {
    { identity "$python"; cat "$@"; } | sha256sum
}

# Runs one pip command; its output matters only if it fails.
pip_install() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@" \
        >"$log" 2>&1 && return
    tail -n 25 "$log" >&2
    fail "pip failed (above; all of it in $log); is the package index reachable? Then repeat."
}

stamped() {
    [ -f "$venv/$1" ] && [ "$(cat "$venv/$1")" = "$2" ]
}

require_python
mkdir -p "$venv"
exec 9>"$venv/lock"
flock --wait 900 9 || fail "another run has held $venv/lock for 15 minutes; end it and repeat"

wanted="$(fingerprint requirements/run.txt requirements/keyless.txt requirements/dev.txt)"
if ! stamped requirements.stamp "$wanted"; then
    rm -f "$venv"/*.stamp
    # Packages compiled for another interpreter must not stay.
    [ "$(identity "$venv/bin/python")" = "$(identity "$python")" ] ||
        rm -rf "$venv/bin" "$venv/include" "$venv/lib" "$venv/lib64"
    "$python" -m venv "$venv" >"$log" 2>&1 || fail "no virtual environment; read $log"
    pip_install --require-hashes --requirement requirements/run.txt \
        --requirement requirements/keyless.txt --requirement requirements/dev.txt
    printf '%s' "$wanted" >"$venv/requirements.stamp"
fi

wanted="$(fingerprint pyproject.toml)"
if ! stamped project.stamp "$wanted"; then
    # Without isolation the build uses the hashed setuptools; "compat" puts the checkout itself on
    # the path, so that modules added later are found too.
    pip_install --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
    printf '%s' "$wanted" >"$venv/project.stamp"
fi
