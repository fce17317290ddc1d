# shellcheck shell=bash
# peers.sh - other programs to measure and check against, from Debian. Sourced, not run; lib.sh comes first.
#
# Servers are unpacked into .build-peers/ instead of installed: installing them would start them.

# shellcheck disable=SC2154 # of lib.sh
peers=$repository/.build-peers

# Unpacks Debian packages unless they are there; false when that is not possible.
unpack_packages() {
    local package
    mkdir -p "$peers/packages"
    for package in "$@"; do
        [[ -e $peers/packages/$package.done ]] && continue
        command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
        (
            cd "$peers/packages" && {
                apt-get download -qq "$package" 2>/dev/null || {
                    apt-get update -qq 2>/dev/null && apt-get download -qq "$package" 2>/dev/null
                }
            } && dpkg -x "$package"_*.deb "$peers"
        ) || return 1
        touch "$peers/packages/$package.done"
    done
}

# Installs Debian packages whose programs are missing: program=package ...; false when that is not possible.
install_programs() {
    local pair
    local -a missing=() as_root=()
    for pair in "$@"; do command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}"); done
    ((${#missing[@]} == 0)) && return 0
    command -v apt-get >/dev/null || return 1
    if [[ $(id -u) -ne 0 ]]; then
        sudo -n true 2>/dev/null || return 1
        as_root=(sudo -n)
    fi
    say "installing with apt-get: ${missing[*]}"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -qq --no-install-recommends install "${missing[@]}" \
        >/dev/null 2>&1
}

# A port of the loopback device that nobody listens on.
free_port() {
    local port
    for _ in {1..50}; do
        port=$((20000 + RANDOM % 20000))
        if ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            printf '%s\n' "$port"
            return 0
        fi
    done
    return 1
}

# start_victoria DATA LOG: starts the server on a free port and waits until it answers; sets victoria_pid, victoria_url.
# False when it ends instead, as it does for a directory that it cannot open.
start_victoria() {
    local port
    port=$(free_port)
    victoria_url=http://127.0.0.1:$port
    "$peers/usr/bin/victoria-metrics" -storageDataPath="$1" -retentionPeriod=100y -httpListenAddr="127.0.0.1:$port" \
        -search.maxUniqueTimeseries=10000000 -search.maxExportSeries=10000000 -search.maxSeries=10000000 \
        -search.latencyOffset=0 -selfScrapeInterval=0 >"$2" 2>&1 &
    victoria_pid=$!
    while kill -0 "$victoria_pid" 2>/dev/null; do
        curl -sf -o /dev/null --max-time 5 --retry 1 --retry-delay 1 --retry-connrefused "$victoria_url/health" && return 0
    done
    wait "$victoria_pid" || true
    victoria_pid=
    return 1
}

stop_victoria() {
    [[ -n ${victoria_pid-} ]] || return 0
    kill -INT "$victoria_pid" 2>/dev/null || true
    wait "$victoria_pid" 2>/dev/null || true
    victoria_pid=
}
