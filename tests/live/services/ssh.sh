#!/bin/bash
# Two real OpenSSH servers on 127.0.0.1, as root, without systemd, from Debian's packages:
#   target   the login node: the Slurm `acct` of slurm.sh is behind it, for ordinary users
#   jump     the bastion before it (ProxyJump); no Slurm there
# See README.md beside this file.
set -euo pipefail
umask 022

live="${ADAPTER_LIVE_DIR:-/var/tmp/adapter-live}"
dir="$live/ssh"
client="$dir/client"
servers=(target jump)
declare -A port=([target]=22122 [jump]=22123)
declare -A shell_of=([jobu]=/bin/bash [jobt]=/usr/bin/tcsh [jobpw]=/bin/bash)
with_key=(jobu jobt) # the third, jobpw, has a password and nothing else
deadline_s=30        # for each thing waited for; all of them take under 2 s on 2 cores
declare -A pid_of    # of the listeners this run has started
key_comment=adapter-live
export PATH="$PATH:/usr/sbin:/sbin" # a plain user's PATH has no sbin, and `su` without `-` keeps it

packages=(openssh-server openssh-client tcsh procps util-linux passwd diffutils)

usage="usage: ssh.sh install | up | down | restart-target | kill-sessions | env"

main() {
    case "$*" in
        install) need_root; install_packages ;;
        up) need_root; one_at_a_time; up ;;
        down) need_root; one_at_a_time; down ;;
        restart-target) need_root; one_at_a_time; restart_target ;;
        kill-sessions) need_root; one_at_a_time; kill_sessions ;;
        env) environment ;;
        *) echo "$usage" >&2; exit 2 ;;
    esac
}

# --- the verbs ------------------------------------------------------------------------------------------------------

install_packages() {
    local missing=() package try
    for package in "${packages[@]}"; do
        [[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" == installed ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    say "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # Installing must not open port 22 to the world: invoke-rc.d(8) asks this file whether it may start a service.
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

up() {
    local name
    [[ -x /usr/sbin/sshd && -x ${shell_of[jobt]} ]] || die "sshd or tcsh is not installed; run: $0 install"
    if healthy; then
        say "already up"
        return
    fi
    local began=$SECONDS
    down
    # Keys too are made anew: a half-written folder is never patched up.
    rm -rf "${dir:?}"
    install -d "$dir" "$client"
    install -d -m 755 /run/sshd # sshd's empty directory for privilege separation; nobody else makes it without systemd
    make_keys
    make_users
    client_config >"$client/config"
    for name in "${servers[@]}"; do
        sshd_config "$name" >"$dir/$name/sshd_config"
        start "$name"
    done
    for name in "${servers[@]}"; do wait_until "$name" "$name to let jobu in" serves "$name"; done
    wait_until target "target to let jobt and jobpw in" everybody_logs_in
    say "up after $((SECONDS - began)) s"
}

# Leaves the directory, logs and client files included. Nobody can log in by the password any more.
down() {
    local _ pid
    if getent passwd jobpw >/dev/null; then set_shadow jobpw '*'; fi
    [[ -n "$(all_of_ours)" ]] || return 0
    for _ in {1..40}; do
        # What runs in a session outlives its sshd: take it first. sshd makes each command lead a group.
        for pid in $(all_of_ours); do
            [[ -d /proc/$pid ]] || continue
            signal_all STOP "$pid"
            kill_all "$(pgrep -P "$pid" | not_sshd | sed 's/^/-/')"
        done
        kill_all "$(all_of_ours)"
        sleep 0.1
        [[ -n "$(all_of_ours)" ]] || break
    done
    [[ -z "$(all_of_ours)" ]] || die "these processes do not die: $(all_of_ours | tr '\n' ' ')"
    say "down"
}

# Every connection to target drops, through jump as well; what ran in the sessions goes on, unconnected, as it would.
restart_target() {
    [[ -s $dir/target/sshd_config ]] || die "not up; run: $0 up"
    kill_all "$(listener target)" # first, or somebody comes in between
    kill_sessions
    start target
    wait_until target "target to let jobu in" serves target
    say "target restarted"
}

kill_sessions() {
    local _ pids
    # Meanwhile nobody is let in, so that those who come back at once are not taken for those who have to go.
    signal_all STOP "$(listener target)"
    for _ in {1..40}; do
        pids="$(sessions target)"
        [[ -n $pids ]] || break
        kill_all "$pids"
        sleep 0.05
    done
    signal_all CONT "$(listener target)"
    [[ -z $pids ]] || die "these sessions do not die: ${pids//$'\n'/ }"
    say "sessions of target killed"
}

environment() {
    cat <<X
export ADAPTER_SSH_DIR=$dir
export ADAPTER_SSH_CONFIG=$client/config
export ADAPTER_SSH_TARGET_PORT=${port[target]}
export ADAPTER_SSH_JUMP_PORT=${port[jump]}
X
}

# --- keys, users ----------------------------------------------------------------------------------------------------

make_keys() {
    local name
    new_key "$client/key" "$key_comment"
    for name in "${servers[@]}"; do
        install -d "$dir/$name"
        new_key "$dir/$name/host_key" "$name"
        # The plain name is for HostKeyAlias: a test's proxy has a port of its own.
        known_host "$name" "$dir/$name/host_key.pub" >>"$client/known_hosts"
    done
    : >"$client/known_hosts.empty"
    new_key "$dir/other_host_key" changed
    known_host target "$dir/other_host_key.pub" >"$client/known_hosts.changed"
    (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$client/jobpw.password")
    printf '#!/bin/sh\nexec cat "%s"\n' "$client/jobpw.password" >"$client/askpass"
    chmod 755 "$client/askpass"
}

new_key() { ssh-keygen -q -t ed25519 -N '' -C "$2" -f "$1"; } # FILE COMMENT

known_host() { echo "[127.0.0.1]:${port[$1]},$1 $(cut -d' ' -f1,2 "$2")"; } # SERVER PUBLIC_KEY

make_users() {
    local name
    for name in "${!shell_of[@]}"; do
        getent passwd "$name" >/dev/null || useradd -m -s "${shell_of[$name]}" "$name"
        [[ "$(getent passwd "$name" | cut -d: -f7)" == "${shell_of[$name]}" ]] || usermod -s "${shell_of[$name]}" "$name"
    done
    for name in "${with_key[@]}"; do
        set_shadow "$name" '*' # not '!': sshd with UsePAM=no calls such an account locked
        authorize "$name"
    done
    # $(<file), so that no command line shows it; chpasswd reads standard input.
    echo "jobpw:$(<"$client/jobpw.password")" | chpasswd
}

set_shadow() { # USER FIELD; only when it differs: usermod locks the password file, and slurm.sh uses it too
    [[ "$(getent shadow "$1" | cut -d: -f2)" == "$2" ]] || usermod -p "$2" "$1"
}

# Below the home directory because StrictModes refuses anything below /var/tmp, which everybody may write to.
authorize() { # USER
    local home group file
    home="$(getent passwd "$1" | cut -d: -f6)"
    group="$(id -gn "$1")"
    file="$home/.ssh/authorized_keys"
    install -d -m 700 -o "$1" -g "$group" "$home/.ssh"
    { grep -sv " $key_comment\$" "$file" || true; cat "$client/key.pub"; } >"$dir/authorized_keys"
    install -m 600 -o "$1" -g "$group" "$dir/authorized_keys" "$file"
}

# --- the daemons ----------------------------------------------------------------------------------------------------

# In a session of its own, with nothing of the caller's: neither its environment (sessions inherit TZ and more), nor its
# output (a pipe kept open makes the caller's reader wait for ever), nor the lock on descriptor 9.
start() { # SERVER
    env -i PATH=/usr/local/bin:/usr/bin:/bin setsid /usr/sbin/sshd -D -f "$dir/$1/sshd_config" -E "$dir/$1/sshd.log" \
        </dev/null >>"$dir/$1/sshd.out" 2>&1 9>&- &
    pid_of[$1]=$!
    disown
}

# Our processes: an sshd that has a file in the server's folder open, its log at least. Pid files lie after a restart.
# From OpenSSH 9.8 on the children have names of their own.
ours() { # SERVER
    local pid
    for pid in $(pgrep -x 'sshd(-.*)?'); do
        if readlink "/proc/$pid"/fd/* 2>/dev/null | grep -q "^$dir/$1/"; then echo "$pid"; fi
    done
}

all_of_ours() { local name; for name in "${servers[@]}"; do ours "$name"; done; }
listener() { ours "$1" | grep -xF -- "$(cat "$dir/$1/sshd.pid" 2>/dev/null || echo none)" || true; }
sessions() { ours "$1" | grep -vxF -- "$(cat "$dir/$1/sshd.pid" 2>/dev/null || echo none)" || true; }

not_sshd() { # PIDS on standard input, those that are no sshd on standard output
    local pid
    while read -r pid; do
        case "$(cat "/proc/$pid/comm" 2>/dev/null)" in sshd | sshd-* | "") ;; *) echo "$pid" ;; esac
    done
}

kill_all() { signal_all KILL "$1"; }

signal_all() { # SIGNAL PIDS: one word, a line each; -PID is a process group
    local pid
    for pid in $2; do kill "-$1" -- "$pid" 2>/dev/null || true; done
}

# --- is it there yet? -----------------------------------------------------------------------------------------------

healthy() {
    local name
    # A changed setting in this script is a reason to start anew.
    cmp -s "$client/config" <(client_config) || return 1
    for name in "${servers[@]}"; do
        cmp -s "$dir/$name/sshd_config" <(sshd_config "$name") && [[ -n "$(listener "$name")" ]] || return 1
        logs_in "$name" 2>/dev/null || return 1
    done
    everybody_logs_in 2>/dev/null
}

logs_in() { timeout 10 ssh -F "$client/config" "$1" true </dev/null; }
serves() { [[ "$(listener "$1")" == "${pid_of[$1]}" ]] && logs_in "$1"; } # this one, not another on its port
everybody_logs_in() {
    logs_in viajump && logs_in target-tcsh &&
        SSH_ASKPASS="$client/askpass" SSH_ASKPASS_REQUIRE=force logs_in target-password
}

wait_until() { # SERVER WHAT COMMAND...
    local name="$1" what="$2" end=$((SECONDS + deadline_s))
    shift 2
    until "$@" 2>"$dir/last_attempt"; do
        kill -0 "${pid_of[$name]}" 2>/dev/null || die_with_log "the sshd $name ended while waiting for $what" "$name"
        ((SECONDS < end)) || die_with_log "waited $deadline_s s for $what" "$name"
        sleep 0.1
    done
}

# --- configuration --------------------------------------------------------------------------------------------------

sshd_config() { # SERVER
    cat <<X
Port ${port[$1]}
ListenAddress 127.0.0.1
HostKey $dir/$1/host_key
PidFile $dir/$1/sshd.pid
LogLevel VERBOSE
UsePAM no
PermitRootLogin no
AuthorizedKeysFile .ssh/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
# OpenSSH's default, which most sites keep, written down because tests count on it.
MaxSessions 10
MaxStartups 200:30:400
AllowTcpForwarding yes
PrintMotd no
AcceptEnv LANG LC_*
# The program, not internal-sftp: the login shell starts it, so a noisy .bashrc breaks it, as it does on real sites.
Subsystem sftp /usr/lib/openssh/sftp-server
X
    case $1 in
        target) cat <<X ;;
AllowUsers ${with_key[@]} jobpw
SetEnv SLURM_CONF=$live/slurm-acct/slurm.conf
Match User jobpw
    PubkeyAuthentication no
    PasswordAuthentication yes
X
        jump) echo "AllowUsers ${with_key[*]}" ;;
    esac
}

# OpenSSH takes the first value it finds for each word, so what holds for all of them comes last.
client_config() {
    cat <<X
Host target-tcsh
    User jobt
Host target-password
    User jobpw
    PreferredAuthentications password
    PubkeyAuthentication no
    # One try: a wrong password must not be asked for again.
    NumberOfPasswordPrompts 1
Host viajump
    ProxyJump jump
Host unknownkey
    UserKnownHostsFile $client/known_hosts.empty
Host changedkey
    UserKnownHostsFile $client/known_hosts.changed
Host jump
    Port ${port[jump]}
Host target target-tcsh target-password viajump unknownkey changedkey
    Port ${port[target]}
Host target target-tcsh viajump unknownkey changedkey jump
    BatchMode yes
Host target target-tcsh target-password viajump unknownkey changedkey jump
    HostName 127.0.0.1
    User jobu
    IdentityFile $client/key
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile $client/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    ConnectTimeout 10
X
}

# --- odds and ends --------------------------------------------------------------------------------------------------

# Two test runs on one machine must not start, or stop, the servers at once.
one_at_a_time() {
    mkdir -p "$live"
    exec 9>"$live/ssh.lock"
    flock -w 300 9 || die "another ssh.sh has held $live/ssh.lock for 300 s"
}

need_root() { ((EUID == 0)) || die "must run as root"; }

say() { echo "ssh.sh: $*" >&2; }

die() {
    say "ERROR: $*"
    exit 1
}

die_with_log() { # MESSAGE SERVER
    local file
    say "ERROR: $1"
    for file in "$dir/last_attempt" "$dir/$2/sshd.out" "$dir/$2/sshd.log"; do
        [[ -s $file ]] || continue
        echo "--- last lines of $file" >&2
        tail -n 25 "$file" >&2
    done
    exit 1
}

main "$@"
