# What the scripts beside this file share; they source it after `set -euo pipefail`. A script may set, before or after:
#   here, dir    this folder; its own folder below $live, for logs
#   packages     for install_packages
#   daemon_env   more environment for what `start` starts
#   deadline_s   for each thing that wait_until waits for
# shellcheck shell=bash disable=SC2034,SC2154 # variables that only the scripts read, or set

live="${ADAPTER_LIVE_DIR:-/var/tmp/adapter-live}"
user=jobu # the ordinary user of the tests
script="$(basename "$0")"
deadline_s=60
daemon_env=()
packages=()
declare -A pid_of # of the daemons this run has started
export PATH="$PATH:/usr/sbin:/sbin" # a plain user's PATH has no sbin, and `su` without `-` keeps it

# --- words ----------------------------------------------------------------------------------------------------------

say() { echo "$script${label:+ $label}: $*" >&2; }

die() {
    say "ERROR: $*"
    exit 1
}

die_with_log() { # MESSAGE DAEMON...
    local name file
    say "ERROR: $1"
    shift
    for name in "$@"; do
        while read -r file; do
            [[ -s $file ]] || continue
            echo "--- last lines of $file" >&2
            tail -n 25 "$file" >&2
        done < <(logs_of "$name")
    done
    exit 1
}

# DAEMON; a script may have its own.
out_of() { echo "$dir/log/$1.out"; }
logs_of() { printf '%s\n' "$dir/last_attempt" "$(out_of "$1")"; }

# --- who and when ---------------------------------------------------------------------------------------------------

need_root() { ((EUID == 0)) || die "must run as root"; }

# Two test runs on one machine must not start, or stop, the same service at once.
one_at_a_time() {
    mkdir -p "$live"
    exec 9>"$live/${script%.sh}.lock"
    flock -w 300 9 || die "another $script has held $live/${script%.sh}.lock for 300 s"
}

make_user() { # NAME [SHELL]; only what differs: useradd and usermod lock the password file, and several scripts use it
    local shell="${2:-/bin/bash}"
    getent passwd "$1" >/dev/null || useradd -m -s "$shell" "$1"
    [[ "$(getent passwd "$1" | cut -d: -f7)" == "$shell" ]] || usermod -s "$shell" "$1"
}

set_shadow() { # USER FIELD
    [[ "$(getent shadow "$1" | cut -d: -f2)" == "$2" ]] || usermod -p "$2" "$1"
}

# --- packages -------------------------------------------------------------------------------------------------------

missing_packages() { # NAME...
    local package
    for package in "$@"; do
        [[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" == installed ]] || echo "$package"
    done
}

install_packages() {
    local missing try
    mapfile -t missing < <(missing_packages "${packages[@]}")
    ((${#missing[@]})) || return 0
    say "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # Installing must start no service of the machine's own: invoke-rc.d(8) asks this file whether it may.
    if [[ ! -e /usr/sbin/policy-rc.d ]]; then
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        chmod 755 /usr/sbin/policy-rc.d
    fi
    # DPkg::Lock::Timeout does not cover the lock on the package lists, so another apt-get at work is waited for here.
    for try in 1 2 3 4 5 6; do
        apt-get -q update && break
        ((try < 6)) || die "apt-get update failed $try times"
        sleep 10
    done
    apt-get -q -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "${missing[@]}" </dev/null
}

# --- daemons --------------------------------------------------------------------------------------------------------

# start NAME COMMAND...: in a session of its own, with nothing of the caller's: neither its environment (a daemon hands its
# own to jobs), nor its output (a pipe kept open makes the caller's reader wait for ever), nor the lock on descriptor 9.
start() {
    local name="$1" out
    shift
    out="$(out_of "$name")"
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${daemon_env[@]}" \
        setsid "$@" </dev/null >>"$out" 2>&1 9>&- &
    pid_of[$name]=$!
    disown
}

# Our processes: those named PATTERN (pgrep -x) with a file below FOLDER open. Pid files lie after a restart.
with_files_in() { # FOLDER PATTERN...
    local folder="$1" pattern pid
    shift
    for pattern in "$@"; do
        for pid in $(pgrep -x "$pattern"); do
            if readlink "/proc/$pid"/fd/* 2>/dev/null | grep -q "^$folder/"; then echo "$pid"; fi
        done
    done
}

kill_all() { signal_all KILL "$1"; }

signal_all() { # SIGNAL PIDS: one word, a line each; -PID is a process group
    local pid
    for pid in $2; do kill "-$1" -- "$pid" 2>/dev/null || true; done
}

# Leaves at once when one of the daemons, which this run has started, is no more.
wait_until() { # WHAT DAEMON... -- COMMAND...
    local what="$1" end=$((SECONDS + deadline_s)) daemon daemons=()
    shift
    while [[ $1 != -- ]]; do
        daemons+=("$1")
        shift
    done
    shift
    until "$@" 2>"$dir/last_attempt"; do
        for daemon in "${daemons[@]}"; do
            kill -0 "${pid_of[$daemon]}" 2>/dev/null || die_with_log "$daemon ended while waiting for $what" "$daemon"
        done
        ((SECONDS < end)) || die_with_log "waited $deadline_s s for $what" "${daemons[@]}"
        sleep 0.1
    done
}

# --- container images -----------------------------------------------------------------------------------------------

images=(busybox tools scratch)

# Root file systems as archives, made from busybox-static: $live/images/NAME.tar. No registry is needed.
#   busybox   sh and all applets
#   tools     the same, but /etc/which says "tools"
#   scratch   no shell and no /tmp: only cat, echo, false, sleep and true
make_images() {
    local name root
    mkdir -p "$live/images"
    for name in "${images[@]}"; do
        # Made anew when busybox or this file, which says how, is newer.
        [[ $live/images/$name.tar -nt $here/common.sh && $live/images/$name.tar -nt /bin/busybox ]] && continue
        root="$(mktemp -d "$live/images/$name.XXXXXX")"
        chmod 755 "$root"
        mkdir -p "$root"/{bin,etc,proc,sys,dev}
        echo "$name" >"$root/etc/which"
        echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
        echo 'root:x:0:' >"$root/etc/group"
        case $name in
            scratch) cp /bin/busybox "$root/bin/true" && for _ in cat echo false sleep; do ln "$root/bin/true" "$root/bin/$_"; done ;;
            *)
                install -d -m 1777 "$root/tmp"
                cp /bin/busybox "$root/bin/busybox"
                /bin/busybox --list | grep -vx busybox | sed "s|^|$root/bin/|" | xargs -n 1 ln -s busybox
                ;;
        esac
        tar --owner=0 --group=0 -C "$root" -cf "$root.tar" .
        rm -rf "$root"
        mv "$root.tar" "$live/images/$name.tar"
    done
}
