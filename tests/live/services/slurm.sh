#!/bin/bash
# Real Slurm on one Debian 12 machine: root, no systemd, Debian's packages. Two clusters side by side:
#   acct   slurmdbd + MariaDB, cgroup-enforced memory: sacct answers, OOM kills are real
#   nodb   no database: scontrol and squeue only, and jobs leave the queue quickly
# See README.md beside this file.
set -euo pipefail
umask 022 # an ordinary user must be able to read slurm.conf and reach the spool directory
here="$(cd "$(dirname "$0")" && pwd)"
# shellcheck source=tests/live/services/common.sh
source "$here/common.sh"

node="$(hostname -s)"
deadline_s=60 # for each thing waited for; all of them take under 10 s on 2 cores

# mariadb-server-core instead of mariadb-server: the binaries, without a second server that apt starts on port 3306.
packages=(slurm-client slurmctld slurmd slurmdbd slurm-wlm-mysql-plugin munge mariadb-server-core mariadb-client-core procps util-linux passwd)

usage="usage: slurm.sh install | packages | up acct|nodb | down [acct|nodb] | env acct|nodb"

main() {
    case "$*" in
        install) need_root; install_packages ;;
        packages) echo "${packages[*]}" ;;
        "up acct" | "up nodb") need_root; pick "$2"; one_at_a_time; up ;;
        down) need_root; one_at_a_time; for cluster in acct nodb; do pick "$cluster"; down; done ;;
        "down acct" | "down nodb") need_root; pick "$2"; one_at_a_time; down ;;
        "env acct" | "env nodb") pick "$2"; echo "export SLURM_CONF=$SLURM_CONF" ;;
        *) echo "$usage" >&2; exit 2 ;;
    esac
}

# --- the four verbs -------------------------------------------------------------------------------------------------

up() {
    command -v slurmctld >/dev/null || die "Slurm is not installed; run: $0 install"
    if healthy; then
        say "already up"
        return
    fi
    local began=$SECONDS
    down
    # Job ids, the database and the spool belong together: a half-dead cluster is never patched up, it starts from nothing.
    rm -rf "${dir:?}"
    mkdir -p "$dir"/{log,state,spool,run}
    make_user "$user"
    set_shadow "$user" '*' # not '!': sshd with UsePAM=no calls such an account locked
    slurm_conf >"$SLURM_CONF"
    cgroup_conf >"$dir/cgroup.conf"
    start_munge
    [[ $cluster == nodb ]] || start_database
    start slurmctld slurmctld -D -f "$SLURM_CONF"
    start slurmd slurmd -D -f "$SLURM_CONF" -N "$node"
    wait_until "node $node to be usable" slurmctld slurmd -- node_usable
    [[ $cluster == nodb ]] || wait_until "slurmctld to register with slurmdbd" slurmdbd slurmctld -- registered
    say "up after $((SECONDS - began)) s"
}

# Leaves the directory, logs included, to be read. Nothing ends in an orderly way: that takes 10 s and more, asks daemons
# that may be dead already, and what they would save is thrown away by the next `up`.
down() {
    [[ -n "$(all_of_ours)" ]] || return 0
    local _ pid
    for _ in {1..40}; do
        # First whatever could start another job.
        kill_all "$(ours slurmctld slurmscriptd slurmd slurmdbd mariadbd munged)"
        # A job outlives its slurmstepd: take it while slurmstepd, stopped, still shows whose it is. Each task leads a group.
        for pid in $(ours slurmstepd); do
            kill -STOP "$pid" 2>/dev/null || continue
            kill_all "$(pgrep -P "$pid" | sed 's/^/-/')"
            kill_all "$pid"
        done
        sleep 0.25
        [[ -n "$(all_of_ours)" ]] || break
    done
    [[ -z "$(all_of_ours)" ]] || die "these processes do not die: $(all_of_ours | tr '\n' ' ')"
    # Nobody is left to remove the jobs' cgroups, and the next job 1 would find the old one's counters.
    [[ $cluster == nodb ]] || find /sys/fs/cgroup/*/"slurm_$node" -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null || true
    say "down"
}

# --- the daemons ----------------------------------------------------------------------------------------------------

# One munge for each cluster, on its own socket, so that neither depends on the machine's own.
start_munge() {
    # munged refuses a socket directory others may write to, and a key others may read.
    install -d -o munge -g munge "$dir/munge"
    runuser -u munge -- mungekey --create --keyfile="$dir/munge/key"
    start munged setpriv --reuid=munge --regid=munge --clear-groups munged --foreground --key-file="$dir/munge/key" --socket="$munge_socket" \
        --pid-file="$dir/munge/pid" --seed-file="$dir/munge/seed" --log-file="$dir/munge/munged.log"
    wait_until "munge" munged -- munge_answers
}

start_database() {
    # The database user is root and its password is nothing: it listens on a socket only root can reach.
    install -d -m 700 "$dir/mysql"
    cat >"$dir/my.cnf" <<X
[mariadbd]
user=root
datadir=$dir/mysql
socket=$dir/mysql/sock
pid-file=$dir/mysql/pid
skip-networking
skip-grant-tables
# Slurm's accounting guide asks for the second; it wants more of the first, which a few thousand jobs do not need.
innodb_buffer_pool_size=256M
innodb_lock_wait_timeout=900
# The disk of a test machine is slow and its data is worth nothing.
innodb_flush_log_at_trx_commit=0
X
    mariadb-install-db --no-defaults --user=root --datadir="$dir/mysql" --skip-test-db >"$dir/log/mariadb-install-db.log" 2>&1 ||
        die_with_log "mariadb-install-db failed" mariadb-install-db
    start mariadbd mariadbd --defaults-file="$dir/my.cnf"
    wait_until "MariaDB" mariadbd -- database_answers
    slurmdbd_conf >"$dir/slurmdbd.conf"
    chmod 600 "$dir/slurmdbd.conf" # slurmdbd refuses to start otherwise
    # libmariadb's variable for "localhost"; slurmdbd.conf has no word for a socket.
    start slurmdbd env MYSQL_UNIX_PORT="$dir/mysql/sock" slurmdbd -D
    wait_until "sacctmgr to answer" slurmdbd -- sacctmgr_answers
    sacctmgr -iQ add cluster acct >/dev/null
    sacctmgr -iQ add account lab Description=lab Organization=lab >/dev/null
    sacctmgr -iQ add user root account=lab >/dev/null
    sacctmgr -iQ add user "$user" account=lab >/dev/null
    sacctmgr -iQ add user jobt account=lab >/dev/null # the one with tcsh: ssh.sh
    # Two limits that a submit is denied for: one never passes, the other does once a job has ended.
    sacctmgr -iQ add qos brief Flags=DenyOnLimit MaxWall=00:01:00 >/dev/null
    sacctmgr -iQ add qos few Flags=DenyOnLimit MaxSubmitJobsPerUser=2 >/dev/null
    sacctmgr -iQ modify user where name="root,$user,jobt" set qos+=brief,few >/dev/null
}

daemons() { # the ones that must be running
    [[ $cluster == nodb ]] || echo mariadbd slurmdbd
    echo munged slurmctld slurmd
}

# Our processes: a Slurm, munge or MariaDB daemon that has a file below $dir open.
ours() { with_files_in "$dir" "$@"; } # NAME...

# slurmscriptd is slurmctld's child, slurmstepd is slurmd's (one for each running job).
all_of_ours() { ours slurmctld slurmscriptd slurmd slurmstepd slurmdbd mariadbd munged; }

# --- is it there yet? -----------------------------------------------------------------------------------------------

healthy() {
    local daemon _
    # A changed slurm.conf in this script is a reason to start anew.
    cmp -s "$SLURM_CONF" <(slurm_conf) && cmp -s "$dir/cgroup.conf" <(cgroup_conf) || return 1
    for daemon in $(daemons); do [[ -n "$(ours "$daemon")" ]] || return 1; done
    # It may only be busy, and being wrong here costs somebody their jobs: ask more than once.
    for _ in 1 2 3; do
        if node_usable && { [[ $cluster == nodb ]] || registered; }; then return 0; fi
        sleep 1
    done
    return 1
}

munge_answers() { timeout 5 munge --socket="$munge_socket" --no-input >/dev/null; }
database_answers() { timeout 5 mariadb --no-defaults --socket="$dir/mysql/sock" -e 'create database if not exists slurm_acct_db'; }
sacctmgr_answers() { timeout 5 sacctmgr -nP show cluster >/dev/null; }
registered() { [[ "$(timeout 5 sacctmgr -nP show cluster acct format=ControlPort)" == "$port" ]]; }
# A trailing mark on the state ("idle*") means that the node does not answer.
node_usable() { timeout 5 sinfo -h -p main -o %T | grep -qxE 'idle|mixed|allocated|completing'; }

# --- configuration --------------------------------------------------------------------------------------------------

pick() { # CLUSTER
    cluster="$1"
    label="$1"
    dir="$live/slurm-$cluster"
    munge_socket="$dir/munge/socket"
    # slurmctld's port; slurmd and slurmdbd have the two after it.
    case $cluster in acct) port=26817 ;; nodb) port=27817 ;; esac
    export SLURM_CONF="$dir/slurm.conf"
    daemon_env=(SLURM_CONF="$SLURM_CONF")
}

slurm_conf() {
    cat <<X
ClusterName=$cluster
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
AuthType=auth/munge
AuthInfo=socket=$munge_socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.log
JobCompType=jobcomp/filetxt
JobCompLoc=$dir/log/jobcomp.txt

SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=100
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=5
KillWait=5
OverTimeLimit=0
ReturnToService=2
MaxJobCount=20000
MaxArraySize=10001
# The caller's limits may be higher than slurmd's own; each job would then say so on its standard error.
PropagateResourceLimits=NONE

# More than the machine has: what is tested is the scheduler, not the processor.
SlurmdParameters=config_overrides
NodeName=$node NodeAddr=127.0.0.1 CPUs=64 Boards=1 SocketsPerBoard=1 CoresPerSocket=64 ThreadsPerCore=1 RealMemory=10000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=short Nodes=ALL Default=NO MaxTime=00:10:00 State=UP
PartitionName=down Nodes=ALL Default=NO MaxTime=INFINITE State=DOWN

X
    case $cluster in
        acct) cat <<X ;;
MinJobAge=30
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup
JobAcctGatherType=jobacct_gather/cgroup
JobAcctGatherFrequency=task=2
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((port + 2))
# To slurmdbd this is the munge socket: slurm.conf(5). sacctmgr does not take it from AuthInfo.
AccountingStoragePass=$munge_socket
AccountingStoreFlags=job_comment,job_script,job_env
AccountingStorageEnforce=limits,qos
X
        nodb) cat <<X ;;
# Short, so that a test need not wait long to see a job that the queue has forgotten.
MinJobAge=10
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
X
    esac
}

cgroup_conf() {
    cat <<X
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
CgroupAutomount=yes
ConstrainCores=no
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
ConstrainDevices=no
X
}

slurmdbd_conf() {
    cat <<X
AuthType=auth/munge
AuthInfo=socket=$munge_socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$((port + 2))
SlurmUser=root
LogFile=$dir/log/slurmdbd.log
PidFile=$dir/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageLoc=slurm_acct_db
X
}

# --- odds and ends --------------------------------------------------------------------------------------------------

logs_of() { printf '%s\n' "$dir/last_attempt" "$(out_of "$1")" "$dir/log/$1.log" "$dir/$1/$1.log"; } # DAEMON

main "$@"
