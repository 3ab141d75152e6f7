#!/bin/bash
# What an editor knows of our schemas: the YAML language server, from npm. Nothing runs; a test starts it when it asks.
# See README.md beside this file.
set -euo pipefail
umask 022
here="$(cd "$(dirname "$0")" && pwd)"
# shellcheck source=tests/live/services/common.sh
source "$here/common.sh"

dir="$live/editor"
server="$dir/node_modules/yaml-language-server/bin/yaml-language-server"
wanted=yaml-language-server@1.25 # the last that runs on Debian's Node.js
packages=()
[[ -n "$(type -P npm)" && -n "$(type -P node)" ]] || packages=(nodejs npm) # a newer one of the machine's own stays

usage="usage: editor.sh install | packages | up | down | env"

main() {
    case "$*" in
        install) one_at_a_time; ((${#packages[@]} == 0)) || { need_root; install_packages; }; install_server ;;
        packages) echo "${packages[*]}" ;;
        up) [[ -e $server ]] || die "the language server is not installed; run: $0 install" ;;
        down) ;;
        env) printf 'export ADAPTER_YAML_LANGUAGE_SERVER=%s\n' "$server" ;;
        *) echo "$usage" >&2; exit 2 ;;
    esac
}

install_server() {
    [[ -e $server && "$(cat "$dir/asked" 2>/dev/null)" == "$wanted" ]] && return
    say "installing $wanted"
    mkdir -p "$dir"
    npm install --prefix "$dir" --no-audit --no-fund --ignore-scripts --loglevel=error "$wanted" >/dev/null ||
        die "npm could not install $wanted"
    echo "$wanted" >"$dir/asked"
}

main "$@"
