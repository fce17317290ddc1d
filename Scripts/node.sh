# shellcheck shell=bash
# node.sh - a storage node for the scripts that load one: built, started on ports that nobody else uses, stopped.
#
# Sourced behind lib.sh. The caller sets `work`, a directory for data and log, after `build_node`.

node_rpc=127.0.0.1:18400
node_http=127.0.0.1:18482
node=
work=

# Builds node and harness; their directory is in `programs`. With PROGRAMS in the environment, they are taken from there.
build_node() {
    if [[ -n ${PROGRAMS-} ]]; then
        programs=$PROGRAMS
        return
    fi
    require_build_tools
    local -a build=(swift build --package-path "$repository" --configuration release)
    local product
    for product in storage-node mergeset-bench; do "${build[@]}" --product "$product" --quiet >&2; done
    programs=$("${build[@]}" --show-bin-path)
}

# Starts the node with further flags, and returns when it serves.
start_node() {
    local lines=0
    [[ -e $work/log ]] && lines=$(wc -l <"$work/log")
    "$programs/storage-node" -storageDataPath="$work/data" -vminsertAddr="$node_rpc" -vmselectAddr=127.0.0.1:18401 \
        -httpListenAddr="$node_http" "$@" 2>>"$work/log" &
    node=$!
    local try
    for try in $(seq 600); do
        if tail -n "+$((lines + 1))" "$work/log" | grep -qF "starting http server"; then return 0; fi
        kill -0 "$node" 2>/dev/null || fail "the node has ended while starting, try $try: see $work/log"
        sleep 0.1
    done
    fail "the node does not start: see $work/log"
}

# Stops it, and returns its exit code, also when it has ended by itself before; 0 when there is none.
stop_node() {
    local stopped=$node
    node=
    if [[ -z $stopped ]]; then return 0; fi
    kill -TERM "$stopped" 2>/dev/null || true
    wait "$stopped"
}
