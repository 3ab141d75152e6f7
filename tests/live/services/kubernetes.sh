#!/bin/bash
# Kubernetes 1.20 on one Debian 12 machine: etcd, an API server, the controllers, the scheduler, and one node whose
# containers are those of a Docker daemon of its own (kubelet wants another runtime than docker.sh's). Debian has no
# binaries of the servers, but its source package `kubernetes` holds everything to build them: five minutes on two cores.
# Root, no systemd. The image is busybox:local (common.sh). Not part of `up`: `make test-live-kubernetes`.
set -euo pipefail
umask 022
here="$(cd "$(dirname "$0")" && pwd)"
# shellcheck source=tests/live/services/common.sh
source "$here/common.sh"

dir="$live/kubernetes"
built="$live/kubernetes-built" # not in $dir: `up` empties that
bin="$built/bin"
address=10.99.0.1 # of lo: a node's address must not be 127.0.0.1, and this one is routed nowhere
port=26443
bridge=adapter-k8s
bridge_address=10.99.1.1/30
packages=(docker.io busybox-static etcd-server golang-1.19-go jq rsync dpkg-dev make gcc libc6-dev openssl python3 iproute2 procps util-linux)
programs=(kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl)
deadline_s=120

usage="usage: kubernetes.sh install | packages | up | down | env"

main() {
    case "$*" in
        install) need_root; one_at_a_time; install_packages; build ;;
        packages) echo "${packages[*]}" ;;
        up) need_root; one_at_a_time; up ;;
        down) need_root; one_at_a_time; down ;;
        env)
            echo "export KUBECONFIG=$dir/kubeconfig"
            echo "export PATH=$bin:\$PATH"
            ;;
        *) echo "$usage" >&2; exit 2 ;;
    esac
}

# --- the build ------------------------------------------------------------------------------------------------------

build() {
    local program lacks=0
    for program in "${programs[@]}"; do [[ -x $bin/$program ]] || lacks=1; done
    ((lacks)) || return 0
    mkdir -p "$built/source/lists/partial" "$bin"
    cd "$built/source"
    # The machine's own Debian archive, asked for sources; nothing of the machine's settings changes.
    apt-get indextargets --format 'deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Origin: Debian' 'Identifier: Packages' | sort -u >debian.list
    [[ -s debian.list ]] || die "apt knows no Debian archive (run apt-get update)"
    local apt=(-q -o "Dir::Etc::sourcelist=$PWD/debian.list" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State::lists=$PWD/lists" -o APT::Sandbox::User=root)
    if [[ ! -d k ]]; then
        apt-get "${apt[@]}" update || die "no source lists"
        apt-get "${apt[@]}" source --download-only kubernetes || die "no source package"
        rm -rf k.part
        dpkg-source -x kubernetes_*.dsc k.part || die "the source package cannot be unpacked"
        mv k.part k
    fi
    cd k
    mkdir -p .go/src/k8s.io
    ln -sfn ../../.. .go/src/k8s.io/kubernetes
    say "building ${programs[*]}: some minutes"
    env -i HOME="$built" PATH=/usr/lib/go-1.19/bin:/usr/sbin:/usr/bin:/sbin:/bin GOPATH="$PWD/.go" CGO_ENABLED=0 \
        GOCACHE="$built/gocache" GOFLAGS= GOPROXY=off GO111MODULE=off \
        nice -n 19 make WHAT="${programs[*]/#/cmd/}" FORCE_HOST_GO=y || die "the build failed"
    cp _output/bin/* "$bin/"
}

# --- the verbs ------------------------------------------------------------------------------------------------------

up() {
    [[ -x $bin/kubectl ]] || die "Kubernetes is not built; run: $0 install"
    eval "$("$0" env)"
    if healthy; then
        say "already up"
        return
    fi
    local began=$SECONDS
    down
    rm -rf "${dir:?}"
    mkdir -p "$dir"/{log,pki,etcd,kubelet,docker/data,docker/exec}
    [[ "$(ip addr show dev lo)" == *"inet $address/"* ]] || ip addr add "$address/32" dev lo
    make_images
    write_files
    start etcd etcd --data-dir "$dir/etcd" --listen-client-urls http://127.0.0.1:22379 \
        --advertise-client-urls http://127.0.0.1:22379 --listen-peer-urls http://127.0.0.1:22380 \
        --initial-advertise-peer-urls http://127.0.0.1:22380 --initial-cluster default=http://127.0.0.1:22380
    # No --docker-... of ours is the machine's: own socket, own data. vfs: nothing is layered here, and it works everywhere.
    # A bridge of its own: a daemon with none removes docker0, which is another daemon's.
    ip link show dev "$bridge" >/dev/null 2>&1 || ip link add "$bridge" type bridge
    [[ "$(ip addr show dev "$bridge")" == *"inet $bridge_address"* ]] || ip addr add "$bridge_address" dev "$bridge"
    start dockerd dockerd --config-file="$dir/daemon.json" --host="unix://$dir/docker.sock" --pidfile="$dir/docker.pid" \
        --data-root="$dir/docker/data" --exec-root="$dir/docker/exec" --storage-driver=vfs --iptables=false --bridge="$bridge" \
        --cgroup-parent=/adapter-kubernetes --add-runtime "noadj=$dir/runc-noadj" --default-runtime noadj --shutdown-timeout=1
    start apiserver "$bin/kube-apiserver" --etcd-servers=http://127.0.0.1:22379 --bind-address=127.0.0.1 \
        --advertise-address="$address" --secure-port="$port" --cert-dir="$dir/pki" --service-cluster-ip-range=10.98.0.0/24 \
        --token-auth-file="$dir/pki/tokens.csv" --authorization-mode=RBAC --kubelet-preferred-address-types=InternalIP \
        --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$dir/pki/sa.pub" \
        --service-account-signing-key-file="$dir/pki/sa.key" --api-audiences=api \
        --disable-admission-plugins=ServiceAccount --allow-privileged=true
    wait_until "dockerd to answer" dockerd -- docker_answers
    docker_ import "$live/images/busybox.tar" busybox:local >"$dir/log/import.out" 2>&1 &&
        docker_ import "$live/images/tools.tar" tools:local >>"$dir/log/import.out" 2>&1 &&
        docker_ import --change 'CMD ["/bin/sleep","2000000000"]' "$live/images/busybox.tar" pause:local \
            >>"$dir/log/import.out" 2>&1 || die_with_log "the images cannot be imported" import
    wait_until "the API server to answer" etcd apiserver -- api_answers
    start controllers "$bin/kube-controller-manager" --kubeconfig="$KUBECONFIG" --bind-address=127.0.0.1 --port=0 \
        --secure-port=26444 --cert-dir="$dir/pki/cm" --leader-elect=false --use-service-account-credentials=false \
        --service-account-private-key-file="$dir/pki/sa.key"
    start scheduler "$bin/kube-scheduler" --kubeconfig="$KUBECONFIG" --bind-address=127.0.0.1 --port=0 \
        --secure-port=26445 --cert-dir="$dir/pki/sched" --leader-elect=false
    start kubelet "$bin/kubelet" --kubeconfig="$KUBECONFIG" --container-runtime=docker \
        --docker-endpoint="unix://$dir/docker.sock" --docker-root="$dir/docker/data" --pod-infra-container-image=pause:local \
        --root-dir="$dir/kubelet" --cert-dir="$dir/pki/kubelet" --address="$address" --port=26450 --healthz-port=0 \
        --read-only-port=0 --hostname-override=node --node-ip="$address" --fail-swap-on=false --cgroups-per-qos=false \
        --enforce-node-allocatable= --eviction-hard= --image-gc-high-threshold=100 --image-gc-low-threshold=99 \
        --register-node=true --resolv-conf= --anonymous-auth=true --authorization-mode=AlwaysAllow --max-pods=300
    wait_until "the node to be ready" etcd apiserver controllers scheduler kubelet -- node_ready
    say "up after $((SECONDS - began)) s"
}

# Leaves the directory, logs and images included; the next real `up` starts from nothing.
down() {
    local _
    [[ -n "$(all_of_ours)" ]] || { unmount; return 0; }
    kill_all "$(with_files_in "$dir" kubelet kube-controller kube-scheduler)" # they start containers anew
    kill_all "$(in_containers)"
    signal_all TERM "$(with_files_in "$dir" dockerd)"
    for _ in {1..100}; do
        kill_all "$(in_containers)"
        [[ -n "$(with_files_in "$dir" dockerd)" ]] || break
        sleep 0.1
    done
    for _ in {1..40}; do
        [[ -n "$(all_of_ours)" ]] || break
        kill_all "$(all_of_ours)"
        sleep 0.1
    done
    [[ -z "$(all_of_ours)" ]] || die "these processes do not die: $(all_of_ours | tr '\n' ' ')"
    unmount
    find /sys/fs/cgroup/*/adapter-kubernetes -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null || true
    ip link del "$bridge" 2>/dev/null || true
    say "down"
}

unmount() {
    local point
    while read -r point; do umount -l "$point" || true; done < <(awk -v at="$dir/" 'index($2, at) == 1 {print $2}' /proc/mounts | tac)
}

# --- files ----------------------------------------------------------------------------------------------------------

write_files() {
    local token
    token="$(openssl rand -hex 16)"
    openssl genrsa -out "$dir/pki/sa.key" 2048 2>"$dir/log/openssl.out"
    openssl rsa -in "$dir/pki/sa.key" -pubout -out "$dir/pki/sa.pub" 2>>"$dir/log/openssl.out"
    (umask 077 && echo "$token,admin,admin,system:masters" >"$dir/pki/tokens.csv")
    (umask 077 && cat >"$dir/kubeconfig") <<X
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:$port", insecure-skip-tls-verify: true}}]
users: [{name: u, user: {token: $token}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
X
    echo "{}" >"$dir/daemon.json" # or it reads the machine's own
    # kubelet gives its pause containers an OOM score below zero, which a root without CAP_SYS_RESOURCE cannot set.
    cat >"$dir/runc-noadj" <<'X'
#!/usr/bin/python3
import json
import os
import shutil
import sys

arguments = sys.argv[1:]
if "create" in arguments or "run" in arguments:
    bundle = "."
    for at, argument in enumerate(arguments):
        if argument in ("--bundle", "-b"):
            bundle = arguments[at + 1]
        elif argument.startswith("--bundle="):
            bundle = argument.partition("=")[2]
    path = os.path.join(bundle, "config.json")
    with open(path) as file:
        settings = json.load(file)
    if (settings.get("process", {}).get("oomScoreAdj") or 0) < 0:
        settings["process"]["oomScoreAdj"] = 0
        with open(path, "w") as file:
            json.dump(settings, file)
os.execv(shutil.which("runc", path="/usr/sbin:/usr/bin:/sbin:/bin"), ["runc", *arguments])
X
    chmod 755 "$dir/runc-noadj"
}

# --- the processes --------------------------------------------------------------------------------------------------

docker_() { docker --host "unix://$dir/docker.sock" "$@"; }

in_containers() { cat /sys/fs/cgroup/pids/adapter-kubernetes/*/cgroup.procs 2>/dev/null || true; }

# The kernel's name of a process has 15 letters. A shim outlives its daemon and names containerd's socket.
all_of_ours() {
    with_files_in "$dir" etcd kube-apiserver kube-controller kube-scheduler kubelet dockerd containerd
    pgrep -f "^[^ ]*containerd-shim[^ ]* .*-address $dir/docker/exec/" || true
    in_containers
}

# --- is it there yet? -----------------------------------------------------------------------------------------------

healthy() {
    [[ -f $KUBECONFIG ]] && docker_answers 2>/dev/null && api_answers 2>/dev/null && node_ready
}

docker_answers() { timeout 10 docker --host "unix://$dir/docker.sock" version >/dev/null; }
api_answers() { timeout 10 kubectl get namespace default >/dev/null; }
node_ready() { [[ "$(timeout 10 kubectl get nodes --no-headers 2>&1)" == *' Ready '* ]]; }

main "$@"
