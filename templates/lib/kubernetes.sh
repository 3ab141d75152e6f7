# shellcheck shell=sh
# Kubernetes Jobs through kubectl. A backend defines kube: kubectl, with its context and namespace.

create_job() { # create_job SCRIPT NAME: the name is our token, so a Job of that name is the one that we wanted
    if said=$(kube create --filename="$1" --output=name 2>&1); then
        printf '%s\n' "$said"
        return
    fi
    case $said in
        *AlreadyExists*) printf 'job.batch/%s\n' "$2" ;;
        *) printf '%s\n' "$said" >&2; return 1 ;;
    esac
}

# delete_jobs ID...: an element of an array (NAME:INDEX) is its pod; its index then counts as failed.
delete_jobs() {
    failed=0 jobs='' array='' elements=''
    delete_elements() {
        [ -z "$elements" ] || kube delete pods --wait=false \
            --selector="job-name=$array,batch.kubernetes.io/job-completion-index in ($elements)" || failed=1
    }
    for id; do
        case $id in
            *:*)
                [ "${id%:*}" = "$array" ] || { delete_elements; array=${id%:*} elements=''; }
                elements=${elements:+$elements,}${id##*:}
                ;;
            *) jobs="$jobs $id" ;;
        esac
    done
    delete_elements
    # shellcheck disable=SC2086 # words
    [ -z "$jobs" ] || kube delete jobs --wait=false $jobs || failed=1 # names are DNS labels: no quoting is needed
    return "$failed"
}

show_log() { # show_log ID: of each step in order, as far as they have begun
    case $1 in
        *:*) selector=job-name=${1%:*},batch.kubernetes.io/job-completion-index=${1##*:} ;;
        *) selector=job-name=$1 ;;
    esac
    names='{.items[0].metadata.name} {.items[0].spec.initContainers[*].name} {.items[0].spec.containers[*].name}'
    names=$(kube get pods --selector="$selector" --output=jsonpath="$names") || return
    # shellcheck disable=SC2086 # words
    set -- $names # names are DNS labels: no quoting is needed
    pod=$1
    kube logs "$pod" --container="$2" || return
    shift 2
    for step; do kube logs "$pod" --container="$step" 2>/dev/null || break; done
}
