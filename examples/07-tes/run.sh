#!/bin/sh
# run.sh URL USER PASSWORD_FILE [IMAGE [WORKSPACE]]: the two tasks of this folder on a TES server, results in ./tes-out.
# The one that fails does so on purpose: this script ends with 0 if all is as described.
set -eu
[ $# -ge 3 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
url=$1 user=$2 password_file=$3 image=${4:-busybox:latest} workspace=${5:-~/.adapter}
here=$(cd "$(dirname "$0")" && pwd)
mkdir tes-out
cd tes-out
sed "s|busybox:latest|$image|" "$here/tasks.yaml" >tasks.yaml
cat >site.yaml <<X
format: 1
extends: $here/site.yaml
workspace: $workspace
values: {url: '$url', user: '$user'}
secrets: {password: {file: '$password_file'}}
X

code=0
adapter run tasks.yaml --on ./site.yaml || code=$?
[ "$code" = 10 ] || { echo "adapter ended with $code, expected 10: one of the tasks fails" >&2; exit 1; }
[ "$(cat results/sorted.txt)" = "$(printf 'two\nthree\none')" ]
[ "$(cat results/lines.txt)" -eq $(($(wc -l <tasks.yaml) + 3)) ]
echo "Yes: count succeeded and its files are in tes-out/results, fails failed on purpose"
