#!/bin/bash
# A Docker daemon of the tests' own on one Debian 12 machine: root, no systemd, Debian's packages. It has
#   its own socket, which root and the ordinary user may use, and its own data; memory limits are enforced (cgroups)
#   the images busybox:local, tools:local and scratch:local (common.sh), made on the machine
#   a Swarm of one node
# See README.md beside this file.
set -euo pipefail
umask 022
here="$(cd "$(dirname "$0")" && pwd)"
# shellcheck source=tests/live/services/common.sh
source "$here/common.sh"

dir="$live/docker"
socket="$dir/docker.sock"
cgroup=adapter-docker # beside a machine's own `docker`, so that ours can be told from theirs
swarm_port=2377
packages=(docker.io busybox-static iproute2 procps util-linux passwd)
export DOCKER_HOST="unix://$socket"

usage="usage: docker.sh install | packages | up | down | env"

main() {
    case "$*" in
        install) need_root; install_packages ;;
        packages) echo "${packages[*]}" ;;
        up) need_root; one_at_a_time; up ;;
        down) need_root; one_at_a_time; down ;;
        env) echo "export DOCKER_HOST=$DOCKER_HOST" ;;
        *) echo "$usage" >&2; exit 2 ;;
    esac
}

# --- the verbs ------------------------------------------------------------------------------------------------------

up() {
    local name
    command -v dockerd >/dev/null || die "Docker is not installed; run: $0 install"
    if healthy; then
        say "already up"
        return
    fi
    local began=$SECONDS
    down
    rm -rf "${dir:?}"
    mkdir -p "$dir"/{log,exec}
    make_user "$user"
    set_shadow "$user" '*' # not '!': sshd with UsePAM=no calls such an account locked
    make_images
    echo "{}" >"$dir/daemon.json" # or it reads the machine's own
    arguments >"$dir/arguments"
    mapfile -t command <"$dir/arguments"
    start dockerd dockerd "${command[@]}"
    wait_until "dockerd to answer" dockerd -- docker_answers
    for name in "${images[@]}"; do
        docker import "$live/images/$name.tar" "$name:local" >"$dir/log/import.out" 2>&1 || die_with_log "docker import $name failed" import
    done
    docker swarm init --advertise-addr 127.0.0.1 --listen-addr "127.0.0.1:$swarm_port" >"$dir/log/swarm.out" 2>&1 ||
        die_with_log "docker swarm init failed" swarm
    wait_until "the Swarm's node to be ready" dockerd -- node_ready
    say "up after $((SECONDS - began)) s"
}

# Leaves the directory, logs and images included; the next real `up` starts from nothing.
down() {
    local _
    [[ -n "$(all_of_ours)" ]] || { unmount; return 0; }
    # Containers first, and by hand: dockerd would give each 10 s.
    kill_all "$(in_containers)"
    # In an orderly way, or its bridges and network namespaces stay.
    signal_all TERM "$(with_files_in "$dir" dockerd)"
    for _ in {1..100}; do
        kill_all "$(in_containers)" # a Swarm starts them anew
        [[ -n "$(with_files_in "$dir" dockerd)" ]] || break
        sleep 0.1
    done
    for _ in {1..40}; do
        [[ -n "$(all_of_ours)" ]] || break
        kill_all "$(all_of_ours)"
        sleep 0.1
    done
    [[ -z "$(all_of_ours)" ]] || die "these processes do not die: $(all_of_ours | tr '\n' ' ')"
    unmount
    find /sys/fs/cgroup/*/"$cgroup" -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null || true
    say "down"
}

unmount() {
    local point
    while read -r point; do umount -l "$point" || true; done < <(awk -v at="$dir/" 'index($2, at) == 1 {print $2}' /proc/mounts | tac)
}

# --- the daemon -----------------------------------------------------------------------------------------------------

# One a line. The machine's firewall and routing stay as they are: a container on the default network reaches the machine only.
# No storage driver: dockerd takes the best that works here, overlay2 where it can.
arguments() {
    cat <<X
--host=unix://$socket
--group=$(id -gn "$user")
--data-root=$dir/data
--exec-root=$dir/exec
--pidfile=$dir/docker.pid
--config-file=$dir/daemon.json
--cgroup-parent=/$cgroup
--iptables=false
--ip-forward=false
--shutdown-timeout=1
X
}

in_containers() { cat /sys/fs/cgroup/pids/"$cgroup"/*/cgroup.procs 2>/dev/null || true; }

# containerd is dockerd's child; a shim, one for each container, outlives both and names containerd's socket.
all_of_ours() {
    with_files_in "$dir" dockerd containerd
    pgrep -f "^[^ ]*containerd-shim[^ ]* .*-address $dir/exec/" || true
    in_containers
}

# --- is it there yet? -----------------------------------------------------------------------------------------------

healthy() {
    local name
    getent passwd "$user" >/dev/null || return 1
    # Changed arguments in this script are a reason to start anew.
    cmp -s "$dir/arguments" <(arguments) || return 1
    docker_answers 2>/dev/null && node_ready || return 1
    for name in "${images[@]}"; do [[ -n "$(docker images -q "$name:local")" ]] || return 1; done
}

docker_answers() { timeout 10 docker version >/dev/null; }
node_ready() { [[ "$(timeout 10 docker node ls --format '{{.Status}}' 2>&1)" == Ready ]]; }

main "$@"
