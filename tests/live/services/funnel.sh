#!/bin/bash
# A real GA4GH TES server, Funnel, on one Debian 12 machine: as root, built from its Go module, with a password; its tasks
# are containers of docker.sh's daemon, of images that are there.
# See README.md beside this file.
set -euo pipefail
umask 022
here="$(cd "$(dirname "$0")" && pwd)"
# shellcheck source=tests/live/services/common.sh
source "$here/common.sh"

dir="$live/funnel-server"
built="$live/funnel" # not in $dir: `up` empties that, and building takes minutes
version=v0.12.2
http_port=28100
rpc_port=28101
url="http://127.0.0.1:$http_port/ga4gh/tes/v1"
client="$dir/client"
packages=(curl procps util-linux)
export PATH="$PATH:/usr/local/go/bin"
eval "$("$here/docker.sh" env)"

usage="usage: funnel.sh install | packages | up | down | env"

main() {
    case "$*" in
        install) need_root; one_at_a_time; install_packages; build ;;
        packages) echo "${packages[*]}" ;;
        up) need_root; one_at_a_time; up ;;
        down) need_root; one_at_a_time; down ;;
        env) environment ;;
        *) echo "$usage" >&2; exit 2 ;;
    esac
}

# --- the verbs ------------------------------------------------------------------------------------------------------

# A module of our own that needs this one version: `go install` would ask for the list of all versions as well.
build() {
    [[ -x $built/bin/funnel && "$(cat "$built/version" 2>/dev/null)" == "$version" ]] && return
    command -v go >/dev/null || die "Go is not installed: Funnel $version is built with Go 1.25 or later"
    say "building Funnel $version: 5 to 6 minutes on 2 cores"
    local began=$SECONDS
    mkdir -p "$built"/{bin,build}
    printf 'module build\n\ngo 1.25.0\n\nrequire github.com/ohsu-comp-bio/funnel %s\n' "$version" >"$built/build/go.mod"
    rm -f "$built/build/go.sum"
    export GOCACHE="$built/cache" GOMODCACHE="$built/modules" GOFLAGS="-mod=mod -modcacherw" CGO_ENABLED=0
    (cd "$built/build" && go build -ldflags "-s -w" -o "$built/bin/funnel" github.com/ohsu-comp-bio/funnel) ||
        die "Funnel $version could not be built"
    echo "$version" >"$built/version"
    # 3 GB, needed no more.
    go clean -cache -modcache
    rm -rf "$built"/{build,cache,modules}
    say "built after $((SECONDS - began)) s"
}

up() {
    [[ -x $built/bin/funnel ]] || die "Funnel is not built; run: $0 install"
    if healthy; then
        say "already up"
        return
    fi
    timeout 10 docker version >/dev/null 2>&1 || die "Docker does not answer; run: $here/docker.sh up"
    local began=$SECONDS
    down
    rm -rf "${dir:?}"
    mkdir -p "$dir"/{log,work,client}
    (
        umask 077
        echo adapter >"$client/user"
        od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$client/password"
        printf 'user = "%s:%s"\n' "$(<"$client/user")" "$(<"$client/password")" >"$client/curl.conf"
        settings >"$dir/funnel.yaml"
    )
    daemon_env=(DOCKER_HOST="$DOCKER_HOST" HOME="$dir") # HOME: docker reads ~/.docker, and there is none here
    start funnel "$built/bin/funnel" server run --config "$dir/funnel.yaml"
    wait_until "Funnel to answer" funnel -- answers
    say "up after $((SECONDS - began)) s"
}

# Leaves the directory, logs included. Tasks that run end with it: Funnel would leave them RUNNING for ever.
down() {
    local _ id
    [[ -n "$(ours)" ]] || return 0
    for _ in {1..40}; do
        kill_all "$(ours)"
        sleep 0.1
        [[ -n "$(ours)" ]] || break
    done
    [[ -z "$(ours)" ]] || die "these processes do not die: $(ours | tr '\n' ' ')"
    # The container of a task is named after the task: 20 letters and digits, and the step's number.
    docker ps -aq --filter 'name=^/?[a-z0-9]{20}-[0-9]+$' 2>/dev/null | while read -r id; do docker rm -f "$id" >/dev/null; done || true
    say "down"
}

environment() {
    cat <<X
export ADAPTER_FUNNEL_URL=$url
export ADAPTER_FUNNEL_USER=adapter
export ADAPTER_FUNNEL_PASSWORD_FILE=$client/password
export ADAPTER_FUNNEL_CURL_CONFIG=$client/curl.conf
X
}

# --- is it there yet? -----------------------------------------------------------------------------------------------

ours() { with_files_in "$dir" funnel; }

healthy() {
    # A changed setting in this script is a reason to start anew.
    [[ -s $client/password && -n "$(ours)" ]] && cmp -s "$dir/funnel.yaml" <(settings) && answers 2>/dev/null
}

answers() { curl -sS -f --max-time 10 -K "$client/curl.conf" -o /dev/null "$url/tasks?page_size=1"; }

# --- configuration --------------------------------------------------------------------------------------------------

# Both ports are open on every address, Funnel has no word for another; nobody is believed without the password.
settings() {
    cat <<X
Database: boltdb
Compute: local
EventWriters: [boltdb, log]
Logger: {level: info}
BoltDB: {Path: $dir/funnel.db}
Server:
  HostName: 127.0.0.1
  HTTPPort: "$http_port"
  RPCPort: "$rpc_port"
  BasicAuth: [{User: adapter, Password: "$(<"$client/password")", Admin: true}]
  DisableHTTPCache: true
  TaskAccess: All
RPCClient:
  ServerAddress: 127.0.0.1:$rpc_port
  Credential: {User: adapter, Password: "$(<"$client/password")"}
  Timeout: {duration: 60s}
  MaxRetries: 10
Worker:
  WorkDir: $dir/work
  PollingRate: 1s
  LogUpdateRate: 1s
  LogTailSize: 10000 # Funnel's own default, which a Worker written here loses; without it, it falls over
  MaxParallelTransfers: 10
  # Funnel's own commands, written out because it takes all or none of them. Changed: images are never fetched.
  Container:
    DriverCommand: docker
    PullCommand: image inspect {{.Image}}
    StopCommand: rm -f {{.Name}}
    RunCommand: |
      run -i --read-only --pull never
      {{if .RemoveContainer}}--rm{{end}}
      {{range \$k, \$v := .Env}}--env {{\$k}}={{\$v}} {{end}}
      {{range \$k, \$v := .Tags}}--label {{\$k}}={{\$v}} {{end}}
      {{if .Name}}--name {{.Name}}{{end}}
      {{if .Workdir}}--workdir {{.Workdir}}{{end}}
      {{range .Volumes}}--volume {{.HostPath}}:{{.ContainerPath}}:{{if .Readonly}}ro{{else}}rw{{end}} {{end}}
      {{.Image}} {{.Command}}
# Where tests keep their files.
LocalStorage: {AllowedDirs: [/tmp/, /var/tmp/, /home/]}
X
}

main "$@"
