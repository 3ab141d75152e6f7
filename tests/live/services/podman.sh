#!/bin/bash
# Podman for root and for the ordinary user on one Debian 12 machine, from Debian's packages: no daemon, but settings that
# work where cgroups are of version 1 and nothing may raise a limit, and the images of docker.sh (common.sh) for both.
# See README.md beside this file.
set -euo pipefail
umask 022
here="$(cd "$(dirname "$0")" && pwd)"
# shellcheck source=tests/live/services/common.sh
source "$here/common.sh"

dir="$live/podman"
packages=(podman runc catatonit uidmap slirp4netns fuse-overlayfs busybox-static procps util-linux passwd)
export CONTAINERS_CONF="$dir/containers.conf"

usage="usage: podman.sh install | packages | up | down | env"

main() {
    case "$*" in
        install) need_root; install_packages ;;
        packages) echo "${packages[*]}" ;;
        up) need_root; one_at_a_time; up ;;
        down) need_root; one_at_a_time; down ;;
        env) echo "export CONTAINERS_CONF=$CONTAINERS_CONF" ;;
        *) echo "$usage" >&2; exit 2 ;;
    esac
}

# --- the verbs ------------------------------------------------------------------------------------------------------

up() {
    local who
    command -v podman >/dev/null || die "Podman is not installed; run: $0 install"
    if healthy; then
        say "already up"
        return
    fi
    local began=$SECONDS
    mkdir -p "$dir/log"
    make_user "$user"
    set_shadow "$user" '*' # not '!': sshd with UsePAM=no calls such an account locked
    make_images
    containers_conf >"$CONTAINERS_CONF"
    # What udev does on a machine that has it: slirp4netns, an ordinary user's network, opens it.
    mkdir -p /dev/net
    [[ -e /dev/net/tun ]] || mknod /dev/net/tun c 10 200
    chmod 666 /dev/net/tun
    for who in root "$user"; do
        : >"$dir/log/$who.out"
        prepare "$who" >>"$dir/log/$who.out" 2>&1 || die_with_log "Podman does not work for $who" "$who"
    done
    say "up after $((SECONDS - began)) s"
}

# Containers of our images, and the images. The two users' other containers are not ours.
down() {
    local who name
    command -v podman >/dev/null || return 0
    for who in root "$user"; do
        getent passwd "$who" >/dev/null || continue
        for name in "${images[@]}"; do
            podman_as "$who" ps -aq --filter "ancestor=localhost/$name:local" 2>/dev/null | sort -u |
                while read -r id; do podman_as "$who" rm -f -t 0 "$id" >/dev/null; done
            podman_as "$who" rmi -f "localhost/$name:local" >/dev/null 2>&1 || true
        done
    done
    rm -f "$CONTAINERS_CONF"
    say "down"
}

prepare() { # USER
    local name
    for name in "${images[@]}"; do podman_as "$1" import "$live/images/$name.tar" "$name:local" || return 1; done
    runs "$1"
}

# A plain login's environment, whoever calls; in a directory that both may enter.
podman_as() { # USER ARGUMENTS...
    local home
    home="$(getent passwd "$1" | cut -d: -f6)"
    (cd / && timeout 60 setpriv --reuid="$1" --regid="$1" --init-groups env -i HOME="$home" USER="$1" PATH="$PATH" \
        CONTAINERS_CONF="$CONTAINERS_CONF" podman "${@:2}" </dev/null 9>&-)
}

# --- is it there? ---------------------------------------------------------------------------------------------------

healthy() {
    local who
    getent passwd "$user" >/dev/null && cmp -s "$CONTAINERS_CONF" <(containers_conf) || return 1
    for who in root "$user"; do has_images "$who" && runs "$who" || return 1; done 2>/dev/null
}

has_images() { # USER
    local name
    for name in "${images[@]}"; do podman_as "$1" image exists "$name:local" || return 1; done
}

runs() { [[ "$(podman_as "$1" run --rm busybox:local cat /etc/which)" == busybox ]]; } # USER; on the default network

# --- configuration --------------------------------------------------------------------------------------------------

# crun refuses the hybrid cgroups of this kind of machine, and Podman's own limits are higher than may be set without
# CAP_SYS_RESOURCE.
containers_conf() {
    cat <<X
[containers]
default_ulimits = ["nofile=16384:16384", "nproc=32768:32768"]

[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
X
}

main "$@"
