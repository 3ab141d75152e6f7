#!/bin/bash
# A stand-in for AWS Batch, moto, on one Debian 12 machine: its jobs are real containers of docker.sh's daemon. With the
# aws command, a role, a compute environment and the job queue `q1`.
# See README.md beside this file.
set -euo pipefail
umask 022
here="$(cd "$(dirname "$0")" && pwd)"
# shellcheck source=tests/live/services/common.sh
source "$here/common.sh"

dir="$live/moto-server"
venv="$live/moto/venv" # not in $dir: `up` empties that
bin="$live/moto/bin"   # aws alone: with the venv's in PATH, `python` would be the venv's too
port=25000
queue=q1
packages=(python3 python3-venv curl procps util-linux)
# Known to work together; the aws command is of version 1, which pip can install.
python_packages=("moto[server,batch]==5.2.*" "awscli==1.*")
eval "$("$here/docker.sh" env)"

usage="usage: moto.sh install | packages | up | down | env"

main() {
    case "$*" in
        install) need_root; one_at_a_time; install_packages; install_python ;;
        packages) echo "${packages[*]}" ;;
        up) need_root; one_at_a_time; up ;;
        down) need_root; one_at_a_time; down ;;
        env) environment ;;
        *) echo "$usage" >&2; exit 2 ;;
    esac
}

# --- the verbs ------------------------------------------------------------------------------------------------------

install_python() {
    [[ -x $venv/bin/moto_server && -x $bin/aws && "$(cat "$venv/asked" 2>/dev/null)" == "${python_packages[*]}" ]] && return
    say "installing ${python_packages[*]}"
    /usr/bin/python3 -m venv --clear "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check "${python_packages[@]}" || die "pip could not install ${python_packages[*]}"
    mkdir -p "$bin"
    ln -sf "$venv/bin/aws" "$bin/aws"
    echo "${python_packages[*]}" >"$venv/asked"
}

up() {
    [[ -x $venv/bin/moto_server ]] || die "moto is not installed; run: $0 install"
    eval "$(environment)"
    if healthy; then
        say "already up"
        return
    fi
    timeout 10 docker version >/dev/null 2>&1 || die "Docker does not answer; run: $here/docker.sh up"
    local began=$SECONDS
    down
    rm -rf "${dir:?}"
    mkdir -p "$dir/log"
    settings >"$dir/settings"
    mapfile -t daemon_env <"$dir/settings"
    start moto "$venv/bin/moto_server" -H 127.0.0.1 -p "$port"
    wait_until "moto to answer" moto -- moto_answers
    prepare >"$dir/log/prepare.out" 2>&1 || die_with_log "the job queue could not be made" prepare
    say "up after $((SECONDS - began)) s"
}

# moto keeps everything in memory, and nobody tells the containers that run.
down() {
    local _ id
    [[ -n "$(ours)" ]] || return 0
    for _ in {1..40}; do
        kill_all "$(ours)"
        sleep 0.1
        [[ -n "$(ours)" ]] || break
    done
    [[ -z "$(ours)" ]] || die "these processes do not die: $(ours | tr '\n' ' ')"
    # A job's container is named after the job: its name and its UUID.
    docker ps -aq --filter 'name=-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' 2>/dev/null |
        while read -r id; do docker rm -f "$id" >/dev/null; done || true
    say "down"
}

# The keys are no secret: moto takes any. No settings of this machine's own are read.
environment() {
    cat <<X
export AWS_ENDPOINT_URL=http://127.0.0.1:$port
export AWS_ACCESS_KEY_ID=adapter
export AWS_SECRET_ACCESS_KEY=adapter
export AWS_DEFAULT_REGION=us-east-1
export AWS_CONFIG_FILE=/dev/null
export AWS_SHARED_CREDENTIALS_FILE=/dev/null
export AWS_EC2_METADATA_DISABLED=true
export AWS_PAGER=
export PATH=$bin:\$PATH
X
}

# --- the server -----------------------------------------------------------------------------------------------------

# Its environment, one a line. Jobs use the machine's network, so that they reach moto itself.
settings() {
    cat <<X
DOCKER_HOST=$DOCKER_HOST
MOTO_DOCKER_NETWORK_MODE=host
X
}

prepare() {
    local subnet group
    aws iam create-role --role-name batch --assume-role-policy-document '{}' || return
    subnet="$(aws ec2 describe-subnets --query 'Subnets[0].SubnetId' --output text)" || return
    group="$(aws ec2 describe-security-groups --query 'SecurityGroups[0].GroupId' --output text)" || return
    aws batch create-compute-environment --compute-environment-name ce1 --type MANAGED --state ENABLED \
        --service-role arn:aws:iam::123456789012:role/batch \
        --compute-resources "type=FARGATE,maxvCpus=64,subnets=$subnet,securityGroupIds=$group" || return
    aws batch create-job-queue --job-queue-name "$queue" --state ENABLED --priority 1 \
        --compute-environment-order order=1,computeEnvironment=ce1
}

# --- is it there yet? -----------------------------------------------------------------------------------------------

# It has no file of its own open, and its command is Python's: by what it was told to do.
ours() { pgrep -f "^[^ ]*python[0-9.]* $venv/bin/moto_server -H 127.0.0.1 -p $port\$" || true; }

healthy() {
    [[ -n "$(ours)" ]] && cmp -s "$dir/settings" <(settings) || return 1
    [[ "$(timeout 20 aws batch describe-job-queues --job-queues "$queue" --query 'jobQueues[0].status' --output text 2>&1)" == VALID ]]
}

moto_answers() { curl -sS -f --max-time 10 -o /dev/null "$AWS_ENDPOINT_URL/moto-api/data.json"; }

main "$@"
