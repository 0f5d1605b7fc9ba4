#!/bin/sh
# Prints what is in a directory, or matches words in it; after each name a NUL. One of the functions is called after this.
. ./path.sh

enter() {
    cd -P -- "$operand" 2>/dev/null && return
    if [ -d "$operand" ]; then
        error='Permission denied'
    elif [ -e "$operand" ]; then
        error='Not a directory'
    else
        explain_missing "$operand"
    fi
    fail "$error"
}

# show NAME...: those that exist. A pattern that matched nothing does not.
show() {
    for name; do
        if [ -e "$name" ] || [ -L "$name" ]; then
            printf '%s\0' "$name"
        fi
    done
}

# list: the names in the directory.
list() {
    enter
    [ -r . ] || fail 'Permission denied'
    # shellcheck disable=SC2035 # nothing takes them for options
    show * .[!.]* ..?*
}

# show_trees DIRECTORY...: these, and all that is below. Links are shown, and not followed.
show_trees() {
    for tree; do
        [ -d "$tree" ] || continue
        if has find; then
            find -H "$tree" -print0 2>/dev/null
        else
            show_tree "$tree"
        fi
    done
}

# In a subshell, because the variables of a function are not its own.
show_tree() (
    printf '%s\0' "$1"
    for name in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        if [ -d "$name" ] && [ ! -L "$name" ]; then
            show_tree "$name"
        else
            show "$name"
        fi
    done
)
