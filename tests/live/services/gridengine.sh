#!/bin/bash
# Real Grid Engine (Son of Grid Engine) on one Debian 12 machine: root, no systemd, Debian's packages. One cell of the tests'
# own, beside whatever the machine has.
# See README.md beside this file.
set -euo pipefail
umask 022
here="$(cd "$(dirname "$0")" && pwd)"
# shellcheck source=tests/live/services/common.sh
source "$here/common.sh"

dir="$live/gridengine"
node="$(hostname -s)"
packages=(gridengine-master gridengine-exec gridengine-client gridengine-common debconf procps util-linux passwd)
export SGE_ROOT="$dir/root" SGE_CELL=default SGE_QMASTER_PORT=28444 SGE_EXECD_PORT=28445
daemon_env=(SGE_ROOT="$SGE_ROOT" SGE_CELL="$SGE_CELL" SGE_QMASTER_PORT="$SGE_QMASTER_PORT" SGE_EXECD_PORT="$SGE_EXECD_PORT" SGE_ND=1)
export SGE_SINGLE_LINE=1 # a setting of `qconf -s...` is one line, whatever its length

usage="usage: gridengine.sh install | preseed | packages | up | down | env"

main() {
    case "$*" in
        install) need_root; preseed; install_packages ;;
        preseed) need_root; preseed ;;
        packages) echo "${packages[*]}" ;;
        up) need_root; one_at_a_time; up ;;
        down) need_root; one_at_a_time; down ;;
        env) environment ;;
        *) echo "$usage" >&2; exit 2 ;;
    esac
}

# --- the verbs ------------------------------------------------------------------------------------------------------

# Debian's packages would make a cell of their own, and start it.
preseed() {
    local package
    [[ -z "$(missing_packages "${packages[@]}")" ]] && return
    for package in gridengine-{master,exec,client,common}; do
        echo "$package shared/gridengineconfig boolean false"
        echo "$package shared/gridenginemaster string $node"
        echo "$package shared/gridenginecell string default"
    done | debconf-set-selections
}

up() {
    command -v sge_qmaster >/dev/null || die "Grid Engine is not installed; run: $0 install"
    if healthy; then
        say "already up"
        return
    fi
    local began=$SECONDS
    down
    # Job ids, the spool and the accounting file belong together.
    rm -rf "${dir:?}"
    mkdir -p "$dir"/{log,qmaster,execd,spool} "$SGE_ROOT/$SGE_CELL/common"
    make_user "$user"
    set_shadow "$user" '*' # not '!': sshd with UsePAM=no calls such an account locked
    cp -a /var/lib/gridengine/{bin,lib,util,utilbin} "$SGE_ROOT"
    bootstrap >"$SGE_ROOT/$SGE_CELL/common/bootstrap"
    echo "$node" >"$SGE_ROOT/$SGE_CELL/common/act_qmaster"
    # Grid Engine takes the name that an address resolves to for the truth, and 127.0.0.1 is "localhost".
    echo "$node localhost" >"$SGE_ROOT/$SGE_CELL/common/host_aliases"
    chown -R sgeadmin: "$SGE_ROOT/$SGE_CELL" "$dir"/{qmaster,execd,spool}
    (cd / && runuser -u sgeadmin -- /usr/share/gridengine/scripts/init_cluster "$SGE_ROOT" "$SGE_CELL" "$dir/spool" sgeadmin) \
        >"$dir/log/init_cluster.out" 2>&1 || die_with_log "init_cluster failed" init_cluster
    start qmaster sge_qmaster
    wait_until "the master to answer" qmaster -- qconf -sh >/dev/null
    configure_cluster >"$dir/log/configure_cluster.out" 2>&1 || die_with_log "the cell could not be configured" configure_cluster
    start execd sge_execd
    configure_queues >"$dir/log/configure_queues.out" 2>&1 || die_with_log "the queues could not be made" configure_queues
    wait_until "the host to take jobs" qmaster execd -- host_usable
    say "up after $((SECONDS - began)) s"
}

# Leaves the directory, logs and accounting included.
down() {
    local _ pid
    [[ -n "$(all_of_ours)" ]] || return 0
    for _ in {1..40}; do
        kill_all "$(with_files_in "$dir" sge_qmaster sge_execd)"
        # A job outlives its shepherd: take it while the shepherd, stopped, still shows whose it is. Each leads a group.
        for pid in $(with_files_in "$dir" sge_shepherd); do
            kill -STOP "$pid" 2>/dev/null || continue
            kill_all "$(pgrep -P "$pid" | sed 's/^/-/')"
            kill_all "$pid"
        done
        sleep 0.1
        [[ -n "$(all_of_ours)" ]] || break
    done
    [[ -z "$(all_of_ours)" ]] || die "these processes do not die: $(all_of_ours | tr '\n' ' ')"
    say "down"
}

environment() {
    cat <<X
export SGE_ROOT=$SGE_ROOT
export SGE_CELL=$SGE_CELL
export SGE_QMASTER_PORT=$SGE_QMASTER_PORT
export SGE_EXECD_PORT=$SGE_EXECD_PORT
X
}

# --- is it there yet? -----------------------------------------------------------------------------------------------

all_of_ours() { with_files_in "$dir" sge_qmaster sge_execd sge_shepherd; }

healthy() {
    # A changed setting in this script is a reason to start anew.
    cmp -s "$dir/settings" <(settings) && cmp -s "$SGE_ROOT/$SGE_CELL/common/bootstrap" <(bootstrap) || return 1
    [[ -n "$(with_files_in "$dir" sge_qmaster)" && -n "$(with_files_in "$dir" sge_execd)" ]] &&
        host_usable 2>/dev/null
}

# No load yet is "-NA-", and a queue without load takes nothing; the last column has a letter for each trouble.
host_usable() { timeout 10 qstat -f -q all.q | awk '$1 ~ /^all\.q@/ && NF == 5 && $4 != "-NA-" {ok = 1} END {exit !ok}'; }

# --- configuration --------------------------------------------------------------------------------------------------

bootstrap() {
    cat <<X
admin_user              sgeadmin
default_domain          none
ignore_fqdn             false
spooling_method         berkeleydb
spooling_lib            libspoolb
spooling_params         $dir/spool
binary_path             /usr/sbin
qmaster_spool_dir       $dir/qmaster
security_mode           none
listener_threads        2
worker_threads          2
scheduler_threads       1
X
}

# What differs from Grid Engine's defaults: KIND NAME VALUE. Short times, so that tests need not wait; root may submit.
settings() {
    cat <<X
conf execd_spool_dir $dir/execd
conf loglevel log_info
conf min_uid 0
conf min_gid 0
conf reporting_params accounting=true reporting=false flush_time=00:00:01 joblog=false sharelog=00:00:00
conf load_report_time 00:00:10
sched schedule_interval 0:0:2
sched flush_submit_sec 1
sched flush_finish_sec 1
queue all.q slots 8
queue short.q slots 4
queue short.q h_rt 0:10:0
queue disabled.q slots 4
X
}

configure_cluster() {
    local name value
    qconf -as "$node"
    qconf -sconf | sed 1d >"$dir/conf"
    qconf -ssconf >"$dir/sched"
    while read -r kind name value; do
        case $kind in conf | sched) sed -i "s|^$name .*|$name $value|" "$dir/$kind" ;; esac
    done < <(settings)
    mv "$dir/conf" "$dir/global" # the file's name is the host's
    qconf -Mconf "$dir/global" && qconf -Msconf "$dir/sched"
}

configure_queues() {
    local queue kind name value
    printf 'group_name @allhosts\nhostlist %s\n' "$node" >"$dir/hostgroup"
    wait_until "the execution host" execd -- qconf -se "$node"
    qconf -Ahgrp "$dir/hostgroup" || return
    cat >"$dir/environment" <<X
pe_name            smp
slots              999
user_lists         NONE
xuser_lists        NONE
start_proc_args    NONE
stop_proc_args     NONE
allocation_rule    \$pe_slots
control_slaves     FALSE
job_is_first_task  TRUE
urgency_slots      min
accounting_summary FALSE
qsort_args         NONE
X
    qconf -Ap "$dir/environment" || return
    # shellcheck disable=SC2016 # $1 is the editor's
    # qconf hands its proposal to an editor. The machine is busy with tests: its load is no reason for a queue to wait.
    printf '#!/bin/sh\nexec sed -i %s "$1"\n' "-e 's/^hostlist .*/hostlist @allhosts/' -e 's/^load_thresholds .*/load_thresholds NONE/' \
-e 's/^pe_list .*/pe_list smp/' -e 's|^shell .*|shell /bin/bash|' -e 's/^shell_start_mode .*/shell_start_mode unix_behavior/'" >"$dir/editor"
    chmod 755 "$dir/editor"
    for queue in all.q short.q disabled.q; do EDITOR="$dir/editor" qconf -aq "$queue" || return; done
    while read -r kind queue name value; do
        [[ $kind != queue ]] || qconf -rattr queue "$name" "$value" "$queue" || return
    done < <(settings)
    qmod -d disabled.q || return
    settings >"$dir/settings"
}

main "$@"
