#!/bin/sh
# Unpack the text files of a project into a directory of their own, and report what Compose reads in them.
#
# The files lie there by their whole paths on the controller, so that a path which Compose has resolved, in its answer
# or in an error, shows which file of the controller is meant.
: "${archive?}" "${format?}" "${with_profiles?}" "${with_words?}"
. ./prelude.sh
make_private
base=$private
trap 'rm -rf "$base"' EXIT
printf %s "$archive" | base64 -d | tar -xzf - -C "$base" || exit
say base "$base"
say digest "$(cat "$d/digest" 2>/dev/null)"
# shellcheck source=/dev/null
. "$base/setup"

# answer_in FILE ARGUMENTS…: what `config` answers; in a file where it can write one, because a wrapper around the
# client may write to stdout as well.
answer_in() {
    answer_file=$1
    shift
    compose "$@" >"$answer_file" 2>"$base/errors" || {
        say refused "$(gzip -c <"$base/errors" | base64 | tr -d '\n')"
        exit 0
    }
}

if [ -n "$with_profiles" ]; then
    answer_in "$base/active" "$@" config --services
    say active "$(tr '\n' ' ' <"$base/active")"
    answer_in "$base/profiles" "$@" config --profiles
    # shellcheck disable=SC2013
    for profile in $(cat "$base/profiles"); do
        set -- --profile "$profile" "$@"
    done
fi
case $format in
json)
    # Made here, so that we can read it also when the client runs as root.
    : >"$base/answer"
    answer_in "$base/noise" "$@" config --format json -o "$base/answer"
    ;;
*) answer_in "$base/answer" "$@" config ;;
esac
say config "$(gzip -c <"$base/answer" | base64 | tr -d '\n')"
if [ -n "$with_words" ]; then
    : >"$base/words"
    if compose "$@" -f "$base/words.json" config --format json -o "$base/words" >"$base/noise" 2>&1; then
        say words "$(gzip -c <"$base/words" | base64 | tr -d '\n')"
    fi
fi
