#!/bin/bash
# The two schedulers that need no cluster, on one Debian 12 machine, from Debian's packages: task-spooler (tsp), for whom the
# caller is, with four slots, and atd for at and batch.
# See README.md beside this file.
set -euo pipefail
umask 022
here="$(cd "$(dirname "$0")" && pwd)"
# shellcheck source=tests/live/services/common.sh
source "$here/common.sh"

dir="$live/spooler"
slots=4
packages=(task-spooler at procps util-linux passwd)
export TS_SOCKET="$dir/tsp.socket" TS_SLOTS="$slots"
daemon_env=(TS_SOCKET="$TS_SOCKET" TS_SLOTS="$slots" TMPDIR="$dir")

usage="usage: spooler.sh install | packages | up | down | env"

main() {
    case "$*" in
        install) need_root; install_packages ;;
        packages) echo "${packages[*]}" ;;
        up) need_root; one_at_a_time; up ;;
        down) need_root; one_at_a_time; down ;;
        env) printf 'export TS_SOCKET=%s\nexport TS_SLOTS=%s\n' "$TS_SOCKET" "$TS_SLOTS" ;;
        *) echo "$usage" >&2; exit 2 ;;
    esac
}

# --- the verbs ------------------------------------------------------------------------------------------------------

up() {
    [[ -x /usr/bin/tsp && -x /usr/sbin/atd ]] || die "task-spooler or at is not installed; run: $0 install"
    if healthy; then
        say "already up"
        return
    fi
    local began=$SECONDS
    down
    rm -rf "${dir:?}"
    mkdir -p "$dir/log"
    make_user "$user"
    # The first tsp makes the server, which stays, and prints the empty queue.
    start tsp tsp
    wait_until "tsp to answer" -- tsp_answers
    # One batch job a second, whatever the load.
    [[ -n "$(pgrep -x atd)" ]] || start atd atd -f -l 100 -b 1
    wait_until "atd" -- pgrep -x atd >/dev/null
    say "up after $((SECONDS - began)) s"
}

# An atd of the machine's own stays.
down() {
    local _
    if tsp_answers 2>/dev/null; then
        # Running jobs first: `-K` ends the server only.
        timeout 5 tsp | awk '$2 == "running" {print $1}' | while read -r id; do kill_all "-$(timeout 5 tsp -p "$id")"; done || true
        timeout 5 tsp -K || true
    fi
    kill_all "$(ours)"
    for _ in {1..40}; do
        [[ -n "$(ours)" ]] || break
        sleep 0.1
    done
    [[ -z "$(ours)" ]] || die "these processes do not die: $(ours | tr '\n' ' ')"
}

ours() { pgrep -f '^atd -f -l 100 -b 1$' || true; }

# --- is it there yet? -----------------------------------------------------------------------------------------------

healthy() { pgrep -x atd >/dev/null && [[ -S $TS_SOCKET ]] && tsp_answers 2>/dev/null && [[ "$(timeout 5 tsp -S)" == "$slots" ]]; }

# Without the server tsp would make one, with the caller's environment.
tsp_answers() { [[ -S $TS_SOCKET ]] && timeout 5 tsp >/dev/null; }

main "$@"
