# shellcheck shell=sh disable=SC2016
# curl, with time limits, repeats of GET alone, and secrets that no command line shows.
# `http METHOD URL... [CURL OPTION...]` prints the bodies of good answers (2xx). What else there is goes to standard
# error, as "HTTP status NNN" and the body, and its exit code is not 0.
# A backend defines http_use, which calls http_settings; it may define http_secrets anew.

http_settings() { # http_settings USER CONNECT TOTAL TRIES WAIT WITHIN CA PROXY: times in seconds; empty: curl's own
    http_user=$1 http_connect=$2 http_total=$3 http_get_tries=$4 http_wait=$5 http_within=$6 http_ca=$7 http_proxy=$8
}

http() {
    (
        http_use
        http_method=$1
        shift
        http_tries=1
        [ "$http_method" != GET ] || http_tries=$http_get_tries
        http_try=1
        http_began=$(date +%s)
        http_mark=adapter-http-$$-$http_began
        while :; do
            http_last=
            if [ "$http_try" -ge "$http_tries" ] || [ "$(($(date +%s) - http_began))" -ge "$http_within" ]; then
                http_last=1
            fi
            http_said=$(http_once "$@" 2>&1 >&3)
            http_code=$?
            [ "$http_code" = 75 ] || break
            sleep "$((http_try * http_wait))"
            http_try=$((http_try + 1))
        done
        [ "$http_code" = 0 ] || printf '%s\n' "$http_said" >&2
        exit "$http_code"
    ) 3>&1
}

http_list() { # a GET for what lists jobs: there 404 means a wrong address, and an empty body is no list
    (
        http_is_list=1
        http GET "$@"
    )
}

# One try of all URLs, over one connection where they are on one host. Only what curl 7.61 knows is used.
# -q: a ~/.curlrc may hold what changes the answers. Expect: a large body would wait a second for servers that do not
# know it. Exit code 75: nothing was printed, and another try may help.
http_once() {
    {
        http_secrets | curl -q --config - --silent --show-error --globoff --fail-early --proto =http,https \
            --connect-timeout "$http_connect" --max-time "$http_total" ${http_ca:+--cacert "$http_ca"} ${http_proxy:+--proxy "$http_proxy"} \
            --header 'Accept: application/json' --header 'Expect:' --request "$http_method" \
            --write-out "\\n$http_mark %{http_code} %{redirect_url}\\n" "$@"
        printf '\n%s end %s\n' "$http_mark" "$?"
    } | awk -v mark="$http_mark" -v last="$http_last" -v list="${http_is_list-}" '
        index($0, mark " ") == 1 && $2 == "end" { failure = $3; next }
        index($0, mark " ") == 1 { status[++answers] = $2; moved[answers] = $3; ends[answers] = lines; next }
        { line[++lines] = $0 }
        function is_blank(i,    n) {
            for (n = ends[i - 1] + 1; n <= ends[i]; n++) if (line[n] ~ /[^ \t\r]/) return 0
            return 1
        }
        END {
            if (!answers) status[++answers] = "000"
            if (failure != 0 && status[answers] ~ /^2/) { status[answers] = "000"; cut = 1 }
            if (failure ~ /^(0|5|6|7|16|18|28|35|52|55|56|92)?$/ && !last)
                for (i = 1; i <= answers; i++)
                    if (status[i] ~ /^(000|408|429|500|502|503|504)$/) exit 75
            for (i = 1; i <= answers; i++) {
                good = status[i] ~ /^2/ && !(list && is_blank(i))
                if (good) {
                    for (n = ends[i - 1] + 1; n <= ends[i]; n++) print line[n]
                    continue
                }
                bad = 1
                why = ""
                if (moved[i] != "") why = " to " moved[i] ", which is not followed"
                if (list && status[i] ~ /^4/) why = " of a list"
                if (list && status[i] ~ /^2/) why = " without an answer"
                if (i == answers && cut) why = " (the answer was cut off)"
                print "HTTP status " status[i] why > "/dev/stderr"
                for (n = ends[i - 1] + 1; n <= ends[i] && n <= ends[i - 1] + 20; n++)
                    if (line[n] != "" && !cut) print substr(line[n], 1, 500) > "/dev/stderr"
            }
            exit bad ? 22 : 0
        }'
}

http_secrets() { # for curl's configuration, in which " and \ in quotes are written with a \ before them: curl(1)
    if [ -n "${secret_token-}" ]; then
        printf 'header = "Authorization: Bearer %s"\n' "$(http_quoted "$secret_token")"
    elif [ -n "$http_user" ]; then
        printf 'user = "%s:%s"\n' "$(http_quoted "$http_user")" "$(http_quoted "${secret_password-}")"
    fi
}

http_quoted() { printf '%s' "$1" | sed 's/[\\"]/\\&/g'; }
