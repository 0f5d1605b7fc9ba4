#!/bin/sh
# Leaves, unless the warden still holds its lease, or nobody may look at it.
#
# While there is a lease, the warden's descriptor 9 is open. So a shell that passes exists before the lease ends, and
# is found by the warden's last kill; one that docker starts later does not pass.
: "${otto_warden?}"

if [ -e "/proc/$otto_warden/fd/9" ]; then
    :
elif [ ! -d /proc/$$ ]; then
    # There is no /proc.
    :
elif [ -d "/proc/$otto_warden" ] && [ ! -e "/proc/$otto_warden/fd/0" ]; then
    # It belongs to another user, who does not show its descriptors.
    :
else
    echo "no lease: its warden, process $otto_warden, is gone"
    exit 0
fi
