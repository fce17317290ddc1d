# shellcheck shell=bash
# lib.sh - what the scripts share: where the repository is, and that everything needed to build is there.
#
# Sourced, not run. The scripts work from any directory and leave it unchanged, so relative paths among their arguments
# mean what the caller means by them. Everything said here goes to standard error, and nothing is said when nothing is
# to be done.

set -euo pipefail

# shellcheck disable=SC2034 # used by those who source this file
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

swift_major_min=6
swift_minor_min=2

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "error: $*"
    exit 69 # EX_UNAVAILABLE: something outside the project is missing
}

# Tells whether a C header is where the compiler looks for it.
has_header() {
    local directory
    for directory in /usr/include /usr/local/include /usr/include/*-linux-gnu; do
        [[ -e $directory/$1 ]] && return 0
    done
    return 1
}

# Installs the Debian or Ubuntu packages of the C libraries that are missing. Never asks anything.
require_libraries() {
    local -a missing=()
    local -a reasons=()
    if ! has_header jemalloc/jemalloc.h; then
        missing+=(libjemalloc-dev)
        reasons+=("jemalloc: allocation and its statistics")
    fi
    if ! has_header zstd.h; then
        missing+=(libzstd-dev)
        reasons+=("zstd: compression of blocks")
    fi
    if ! has_header xxhash.h; then
        missing+=(libxxhash-dev)
        reasons+=("xxhash: hashes in the formats and in memory")
    fi
    if ! has_header zlib.h; then
        missing+=(zlib1g-dev)
        reasons+=("zlib: compressed answers of the HTTP port")
    fi
    if [[ ${#missing[@]} -eq 0 ]]; then return 0; fi

    local reason
    say "missing C libraries:"
    for reason in "${reasons[@]}"; do say "  $reason"; done
    if ! command -v apt-get >/dev/null; then
        fail "there is no apt-get here; install the development packages of these libraries with the system's own" \
            "package manager (their Debian names: ${missing[*]})"
    fi
    local -a as_root=()
    if [[ $(id -u) -ne 0 ]]; then
        if ! sudo -n true 2>/dev/null; then
            fail "not root, and sudo wants a password; run this once: sudo apt-get install ${missing[*]}"
        fi
        as_root=(sudo -n)
    fi
    say "installing with apt-get: ${missing[*]}"
    local -a install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -qq --no-install-recommends install)
    # The first try serves machines with fresh package lists; only the others wait for an update.
    if ! "${install[@]}" "${missing[@]}" >/dev/null 2>&1; then
        "${as_root[@]}" apt-get -qq update >&2 || fail "apt-get update failed; is the network reachable?"
        "${install[@]}" "${missing[@]}" >&2 || fail "apt-get could not install ${missing[*]}"
    fi
}

# Stops unless a Swift toolchain that is new enough comes first in PATH.
require_swift() {
    local wanted="Swift $swift_major_min.$swift_minor_min or newer is needed: https://www.swift.org/install/linux/"
    command -v swift >/dev/null || fail "there is no swift in PATH. $wanted"
    local version major minor
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\)\.\([0-9]*\).*/\1 \2/p' | head -n 1)
    read -r major minor <<<"${version:-0 0}"
    if ((major < swift_major_min || (major == swift_major_min && minor < swift_minor_min))); then
        fail "$(command -v swift) is Swift $major.$minor. $wanted"
    fi
}

# Everything a build needs.
require_build_tools() {
    require_libraries
    require_swift
}
