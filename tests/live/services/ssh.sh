#!/bin/bash
# Two real OpenSSH servers on 127.0.0.1, as root, without systemd, from Debian's packages:
#   target   the login node: the Slurm `acct` of slurm.sh is behind it, for ordinary users
#   jump     the bastion before it (ProxyJump); no Slurm there
# See README.md beside this file.
set -euo pipefail
umask 022
here="$(cd "$(dirname "$0")" && pwd)"
# shellcheck source=tests/live/services/common.sh
source "$here/common.sh"

dir="$live/ssh"
client="$dir/client"
daemon_env=(PATH=/usr/local/bin:/usr/bin:/bin) # what sessions inherit
servers=(target jump)
declare -A port=([target]=22122 [jump]=22123)
declare -A shell_of=([jobu]=/bin/bash [jobt]=/usr/bin/tcsh [jobpw]=/bin/bash)
with_key=(jobu jobt) # the third, jobpw, has a password and nothing else
deadline_s=30        # for each thing waited for; all of them take under 2 s on 2 cores
key_comment=adapter-live

packages=(openssh-server openssh-client tcsh procps util-linux passwd diffutils)

usage="usage: ssh.sh install | packages | up | down | restart-target | kill-sessions | env"

main() {
    case "$*" in
        install) need_root; install_packages ;;
        packages) echo "${packages[*]}" ;;
        up) need_root; one_at_a_time; up ;;
        down) need_root; one_at_a_time; down ;;
        restart-target) need_root; one_at_a_time; restart_target ;;
        kill-sessions) need_root; one_at_a_time; kill_sessions ;;
        env) environment ;;
        *) echo "$usage" >&2; exit 2 ;;
    esac
}

# --- the verbs ------------------------------------------------------------------------------------------------------

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
        start_server "$name"
    done
    for name in "${servers[@]}"; do wait_until "$name to let jobu in" "$name" -- serves "$name"; done
    wait_until "target to let jobt and jobpw in" target -- everybody_logs_in
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
    start_server target
    wait_until "target to let jobu in" target -- serves target
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
        make_user "$name" "${shell_of[$name]}"
    done
    for name in "${with_key[@]}"; do
        set_shadow "$name" '*' # not '!': sshd with UsePAM=no calls such an account locked
        authorize "$name"
    done
    # $(<file), so that no command line shows it; chpasswd reads standard input.
    echo "jobpw:$(<"$client/jobpw.password")" | chpasswd
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

start_server() { start "$1" /usr/sbin/sshd -D -f "$dir/$1/sshd_config" -E "$dir/$1/sshd.log"; } # SERVER

# Our processes: an sshd that has a file in the server's folder open, its log at least.
# From OpenSSH 9.8 on the children have names of their own.
ours() { with_files_in "$dir/$1" 'sshd(-.*)?'; } # SERVER

all_of_ours() { local name; for name in "${servers[@]}"; do ours "$name"; done; }
listener() { ours "$1" | grep -xF -- "$(cat "$dir/$1/sshd.pid" 2>/dev/null || echo none)" || true; }
sessions() { ours "$1" | grep -vxF -- "$(cat "$dir/$1/sshd.pid" 2>/dev/null || echo none)" || true; }

not_sshd() { # PIDS on standard input, those that are no sshd on standard output
    local pid
    while read -r pid; do
        case "$(cat "/proc/$pid/comm" 2>/dev/null)" in sshd | sshd-* | "") ;; *) echo "$pid" ;; esac
    done
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

# SERVER
out_of() { echo "$dir/$1/sshd.out"; }
logs_of() { printf '%s\n' "$dir/last_attempt" "$(out_of "$1")" "$dir/$1/sshd.log"; }

main "$@"
