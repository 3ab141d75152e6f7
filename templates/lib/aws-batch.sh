# shellcheck shell=sh disable=SC2016
# AWS Batch through the aws command. A backend defines cloud_use, which calls cloud_settings.

cloud_settings() { # cloud_settings REGION DEFINITION PLATFORM EXECUTION_ROLE JOB_ROLE PUBLIC_IP LOG_GROUP; empty: none
    region=$1 cloud_definition=$2 cloud_platform=$3 cloud_execution_role=$4 cloud_job_role=$5 cloud_public_ip=$6
    cloud_log_group=$7
}

# No pager (version 2 starts one on a terminal), and JSON whatever the user's settings say.
# Who calls them says in `region` which one is asked; empty: aws's own. No region knows the jobs of another.
cloud() { AWS_PAGER='' aws --output json ${region:+--region "$region"} "$@"; }
cloud_text() { AWS_PAGER='' aws --output text ${region:+--region "$region"} "$@"; }

json_text() { printf '"%s"' "$(printf %s "$1" | sed 's/[\\"]/\\&/g')"; }

# define_job IMAGE FOLDER: prints the definition to use. AWS wants an image defined before it is used; ours are named
# after all that is in them, so one that is there already is the same. FOLDER remembers those that we have seen.
define_job() {
    definition=$cloud_definition
    if [ -n "$definition" ]; then
        printf '%s\n' "$definition"
        return
    fi
    content="{\"image\": $(json_text "$1"), \"command\": [\"true\"]"
    content="$content, \"resourceRequirements\": [{\"type\": \"VCPU\", \"value\": \"1\"}, {\"type\": \"MEMORY\", \"value\": \"2048\"}]"
    [ -z "$cloud_execution_role" ] || content="$content, \"executionRoleArn\": $(json_text "$cloud_execution_role")"
    [ -z "$cloud_job_role" ] || content="$content, \"jobRoleArn\": $(json_text "$cloud_job_role")"
    [ -z "$cloud_public_ip" ] || content="$content, \"networkConfiguration\": {\"assignPublicIp\": \"ENABLED\"}"
    content="$content}"
    sum=$(printf '%s %s' "$cloud_platform" "$content" | cksum)
    definition=adapter-$(printf %s "$1" | LC_ALL=C sed 's/[^A-Za-z0-9_-]/-/g' | cut -c 1-80)-${sum%% *}-${sum##* }
    if ! [ -f "$2/$definition" ]; then
        found=$(cloud_text batch describe-job-definitions --job-definition-name "$definition" --status ACTIVE \
            --query 'jobDefinitions[0].jobDefinitionName') || return
        if [ "$found" != "$definition" ]; then
            cloud batch register-job-definition --job-definition-name "$definition" --type container \
                --platform-capabilities "$cloud_platform" --container-properties "$content" >/dev/null || return
        fi
        mkdir -p "$2" && : >"$2/$definition"
    fi
    printf '%s\n' "$definition"
}

# submit_job SCRIPT IMAGE WORKSPACE: the aws command must not repeat it by itself, or there might be two jobs.
submit_job() {
    cloud_use
    name=$(define_job "$2" "$3/.job-definitions") || return
    if ! AWS_MAX_ATTEMPTS=1 cloud batch submit-job --cli-input-json "file://$1" --job-definition "$name"; then
        rm -f "$3/.job-definitions/$name" # somebody may have deregistered it
        return 1
    fi
}

# find_jobs RUN: in every queue, because a task may name its own. The filter looks at jobs in all states; a part of
# the answer is no answer.
find_jobs() {
    cloud_use
    queues=$(cloud_text batch describe-job-queues --query 'jobQueues[].[jobQueueArn]') || return
    answers=
    for queue in $queues; do
        where=${queue#arn:*:batch:}
        where=${where%%:*}
        answer=$(cloud batch list-jobs --job-queue "$queue" --filters "name=JOB_NAME,values=adapter-$1-*" \
            --query "{jobSummaryList: jobSummaryList[].{jobId: jobId, jobName: jobName, region: '$where'}}") || return
        answers="$answers$answer
"
    done
    printf '%s' "$answers"
}

kill_job() { # kill_job JOB_ID REGION
    region=$2
    cloud batch terminate-job --job-id "$1" --reason 'killed by adapter'
}

# show_log JOB_ID REGION: a page is its token, a tab, and its lines; the last page names itself.
show_log() {
    cloud_use
    region=$2
    stream=$(cloud_text batch describe-jobs --jobs "$1" --query 'jobs[0].container.logStreamName') || return
    case $stream in '' | None) echo "there is no log yet" >&2; return 1 ;; esac
    tab=$(printf '\t') token=''
    while page=$(cloud_text logs get-log-events --log-group-name "$cloud_log_group" --log-stream-name "$stream" \
        --start-from-head ${token:+--next-token "$token"} \
        --query '[nextForwardToken, join(`"\n"`, events[].message)]'); do
        lines=${page#*"$tab"}
        [ -z "$lines" ] || printf '%s\n' "$lines"
        [ "${page%%"$tab"*}" != "$token" ] || return 0
        token=${page%%"$tab"*}
    done
    return 1
}
