# shellcheck shell=bash
# What the scripts beside this file share. To be sourced: goes to the top of the tree and sets up ccache so that
# clones of the tree at different places share their objects.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

JOBS=$(nproc)
export JOBS
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1

say() { printf '\n== %s\n' "$*"; }
fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# The comment at the top of the script is its help.
print_help() {
    sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"
    exit "${1:-0}"
}

# configure PRESET [cmake arguments]: quiet when all is well.
configure() {
    local log
    log=$(mktemp)
    if ! cmake --preset "$@" >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        fail "cmake --preset $1 failed"
    fi
    rm -f "$log"
}
