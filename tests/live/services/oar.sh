#!/bin/bash
# Real OAR on one Debian 12 machine: root, no systemd, Debian's packages. OAR's commands read /etc/oar/oar.conf and nothing
# else, so a machine holds one; the database, the sshd that its jobs go through and the logs are the tests' own.
# See README.md beside this file.
set -euo pipefail
umask 022
here="$(cd "$(dirname "$0")" && pwd)"
# shellcheck source=tests/live/services/common.sh
source "$here/common.sh"

dir="$live/oar"
node="$(hostname -s)"
cores=8
server_port=28666
ssh_port=28667
database_port=28668
packages=(oar-server oar-user oar-node oar-server-pgsql oar-user-pgsql postgresql openssh-server openssh-client procps util-linux passwd)
postgres=/usr/lib/postgresql/15/bin

usage="usage: oar.sh install | packages | up | down | env"

main() {
    case "$*" in
        install) need_root; install_packages ;;
        packages) echo "${packages[*]}" ;;
        up) need_root; one_at_a_time; up ;;
        down) need_root; one_at_a_time; down ;;
        env) ;; # nothing: its commands know where it is
        *) echo "$usage" >&2; exit 2 ;;
    esac
}

# --- the verbs ------------------------------------------------------------------------------------------------------

up() {
    [[ -x /usr/bin/oarsub && -x /usr/sbin/Almighty ]] || die "OAR is not installed; run: $0 install"
    if healthy; then
        say "already up"
        return
    fi
    local began=$SECONDS
    down
    # Job ids and the database belong together.
    rm -rf "${dir:?}"
    install -d -m 755 "$dir" "$dir/log" /run/sshd # sshd's empty directory; nobody else makes it without systemd
    make_user "$user"
    set_shadow "$user" '*' # not '!': sshd with UsePAM=no calls such an account locked
    set_shadow oar '*'
    (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$dir/password")
    chown root:postgres "$dir/password"
    chmod 640 "$dir/password"
    start_database
    configure
    sshd_config >"$dir/sshd_config"
    start sshd /usr/sbin/sshd -D -f "$dir/sshd_config" -E "$dir/log/sshd.log"
    wait_until "OAR's sshd" sshd -- as_oar ssh -p "$ssh_port" -o BatchMode=yes -o StrictHostKeyChecking=accept-new "$node" true
    install -o oar -g oar -m 644 /dev/null "$dir/log/oar.log"
    start almighty /usr/sbin/Almighty
    wait_until "OAR to listen" almighty -- listens
    make_resources >"$dir/log/resources.out" 2>&1 || die_with_log "the resources could not be made" resources
    wait_until "the resources to be alive" almighty -- resources_alive
    settings >"$dir/settings"
    say "up after $((SECONDS - began)) s"
}

# Leaves the directory, logs included.
down() {
    local _ pid
    [[ -n "$(all_of_ours)" ]] || return 0
    for _ in {1..60}; do
        kill_all "$(server)" # first, or it starts another job
        # The one who watches a job is in the job's group.
        for pid in $(watchers); do kill_all "-$(ps -o pgid= -p "$pid" | tr -d ' ')"; done
        kill_all "$(all_of_ours)"
        sleep 0.1
        [[ -n "$(all_of_ours)" ]] || break
    done
    [[ -z "$(all_of_ours)" ]] || die "these processes do not die: $(all_of_ours | tr '\n' ' ')"
    say "down"
}

# --- the daemons ----------------------------------------------------------------------------------------------------

start_database() {
    install -d -o postgres -g postgres -m 700 "$dir/database"
    as_postgres "$postgres/initdb" -D "$dir/database" --username=oar --pwfile="$dir/password" -A scram-sha-256 -E UTF8 --locale=C.UTF-8 \
        >"$dir/log/initdb.out" 2>&1 || die_with_log "initdb failed" initdb
    start postgres setpriv --reuid=postgres --regid=postgres --init-groups "$postgres/postgres" -D "$dir/database" -p "$database_port" \
        -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off
    wait_until "PostgreSQL" postgres -- sql postgres -o /dev/null -c 'select 1'
    sql postgres -c 'create database oar' -c "create role oar_ro login password '$(<"$dir/password")'" >"$dir/log/database.out" 2>&1 ||
        die_with_log "the database could not be made" database
}

as_postgres() { (cd "$dir" && setpriv --reuid=postgres --regid=postgres --init-groups "$@"); }
as_oar() { (cd / && timeout 10 setpriv --reuid=oar --regid=oar --init-groups env HOME=/var/lib/oar "$@" </dev/null >/dev/null); }
sql() { PGPASSWORD="$(<"$dir/password")" timeout 10 psql -qX -h 127.0.0.1 -p "$database_port" -U oar -d "$@" </dev/null; } # DATABASE ARGUMENTS

# By their words: they have no file of ours open, and a machine holds one OAR.
server() { pgrep -u oar -f '^[^ ]*perl /usr/lib/oar/|^Almighty: ' || true; }
watchers() { pgrep -u oar -f '^perl - [0-9]+ OAREXEC' || true; }

all_of_ours() {
    with_files_in "$dir" postgres sshd
    server
    watchers
}

# --- is it there yet? -----------------------------------------------------------------------------------------------

healthy() {
    # A changed setting in this script is a reason to start anew.
    [[ -n "$(server)" ]] && cmp -s "$dir/settings" <(settings 2>/dev/null) && listens && resources_alive 2>/dev/null
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$server_port") 2>/dev/null; }
resources_alive() { [[ "$(timeout 20 oarnodes -s | grep -c ': Alive')" == "$cores" ]]; }

# --- configuration --------------------------------------------------------------------------------------------------

# In /etc/oar/oar.conf. The cpuset manager is left out: it wants to mount cgroups.
settings() {
    cat <<X
DB_PORT="$database_port"
DB_BASE_PASSWD="$(<"$dir/password")"
DB_BASE_PASSWD_RO="$(<"$dir/password")"
SERVER_HOSTNAME="$node"
SERVER_PORT="$server_port"
LOG_FILE="$dir/log/oar.log"
OPENSSH_CMD="/usr/bin/ssh -p $ssh_port -e none"
SCHEDULER_JOB_SECURITY_TIME="1"
X
}

configure() {
    local key value
    sed -i 's/^JOB_RESOURCE_MANAGER_PROPERTY_DB_FIELD/#&/' /etc/oar/oar.conf
    while IFS='=' read -r key value; do sed -i "s|^$key=.*|$key=$value|" /etc/oar/oar.conf; done < <(settings)
    # It ends with an error because the database is there.
    oar-database --create --db-admin-user oar --db-admin-pass "$(<"$dir/password")" -f -y >"$dir/log/oar-database.out" 2>&1 || true
    oar-database --check >>"$dir/log/oar-database.out" 2>&1 || die_with_log "oar-database failed" oar-database
}

make_resources() {
    local core
    oarproperty -a host -c && oarproperty -a cpu && oarproperty -a core || return
    for ((core = 1; core <= cores; core++)); do
        oarnodesetting -a -h "$node" -p "host=$node" -p cpu=1 -p "core=$core" -p "cpuset=$((core - 1))" || return
    done
}

sshd_config() {
    cat <<X
Port $ssh_port
ListenAddress 127.0.0.1
HostKey /etc/oar/oar_ssh_host_rsa_key
PidFile $dir/sshd.pid
UsePAM no
PermitRootLogin no
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowUsers oar
AcceptEnv OAR_CPUSET OAR_USER_CPUSET OAR_USER_GPUDEVICE OAR_JOB_USER
PermitUserEnvironment yes
MaxStartups 1024
X
}

main "$@"
