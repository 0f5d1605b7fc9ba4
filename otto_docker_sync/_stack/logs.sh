#!/bin/sh
# Show what the containers wrote, until they end or stdin does.
: "${options?}" "${service?}"
. ./prelude.sh
. ../_docker/run_client.sh
[ -f "$d/digest" ] || {
    say down
    exit 0
}
if [ -n "$service" ] && ! grep -Fqx -- "$service" "$d/services"; then
    say unknown "$(tr '\n' ' ' <"$d/services")"
    exit 0
fi
# shellcheck disable=SC2034  # setup uses it
base=$d
# shellcheck source=/dev/null
. "$d/setup"
print_logs() {
    # shellcheck disable=SC2086
    eval "exec $compose -p \"\$project\" \"\$@\" logs --no-color $options -- $service" 2>&1
}
run_client print_logs "$@"
