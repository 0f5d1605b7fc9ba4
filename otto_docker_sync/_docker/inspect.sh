#!/bin/sh
# inspect FORMAT: Ask docker for facts about the container, in the words of a Go template.
: "${docker?}" "${nonce?}" "${container?}"

inspect() {
    eval "$docker inspect --type container --format \"\$1\" \"\$container\""
}
