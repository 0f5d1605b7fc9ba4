"""What this package uses of Paramiko beyond its documented interface: the one list of it.

Paramiko may change these names in any version. `missing_internals` says which ones an installed version lacks; a test
asks it, with the oldest and the newest version that setup.cfg admits, and finds names that are used and not listed.
"""

from __future__ import annotations

import socket
from typing import Any

import paramiko
from paramiko.auth_handler import AuthHandler
from paramiko.buffered_pipe import BufferedPipe

INTERNALS: dict[str, dict[str, str]] = {
    "Transport": {
        "_channel_handler_table": "replaced: it calls the methods of paramiko.Channel, not those of a subclass",
        "_channels": "the channels by number: one is entered before the request to open it is sent",
        "_next_channel": "the number of the next channel",
        "_parse_channel_open_failure": "overridden: the reason of a refused channel is kept",
        "_parse_channel_open_success": "overridden: a channel that nobody waits for any more is closed",
        "_parse_disconnect": "overridden: the server's last message is kept",
        "_parse_newkeys": "overridden: what was held back during a key exchange is sent",
        "_preferred_ciphers": "the ciphers to offer",
        "_preferred_kex": "the key exchanges to offer",
        "_preferred_keys": "the kinds of host key to ask for",
        "_preferred_macs": "the MACs to offer",
        "_preferred_pubkeys": "the signatures to log in with",
        "_send_message": "sends without waiting for the end of a key exchange",
        "_send_user_message": "overridden: Paramiko's own waits, also on the thread that reads",
        "_verify_key": "overridden: a signature by another algorithm than the agreed one is refused",
        "active": "whether the connection is usable",
        "auth_handler": "replaced by our own for each request of a login",
        "channels_seen": "Paramiko ends the connection when a message comes for a channel that is not in here",
        "clear_to_send": "whether no key exchange is under way",
        "clear_to_send_lock": "its lock, replaced by one that knows its owner",
        "host_key_type": "the agreed algorithm of the host key",
        "initial_kex_done": "whether the first key exchange is over",
        "lock": "guards the channels; replaced",
        "packetizer": "its timer of the handshake is ended when connecting fails",
        "preferred_pubkeys": "the signatures to log in with",
        "server_accept_cv": "made of `lock`, and so replaced too",
        "saved_exception": "what ended the connection, or the answer to a login",
        "server_extensions": "the signatures that the server takes (server-sig-algs)",
    },
    "Channel": {
        "_check_add_window": "counts bytes that were read, for the window",
        "_handle_close": "overridden: whether the server closed the channel",
        "_handle_request": "overridden: death by a signal is kept",
        "_request_failed": "overridden: whether a request was refused",
        "_set_closed": "overridden: a writer that waits is woken",
        "_set_transport": "connects a channel that we made ourselves",
        "_set_window": "gives it its window",
        "_unlink": "ends a channel whose transport has ended",
        "_window_adjust": "overridden: a writer that waits is woken",
        "event": "set when the server has answered; replaced by an event that no interrupt breaks",
        "in_buffer": "the output that has arrived",
        "in_stderr_buffer": "the same of stderr",
        "lock": "guards the channel; replaced by one that knows its owner",
        "out_buffer_cv": "made of `lock`, and so replaced too",
        "out_window_size": "how many it takes",
        "status_event": "set when the exit status has arrived; replaced as `event`",
        "transport": "where its messages go: through a ClosedGuard",
    },
    "AuthHandler": {
        "_finalize_pubkey_algorithm": "overridden: the signature was made before, so its algorithm is known",
        "_get_session_blob": "the bytes to sign",
        "_parse_service_accept": "overridden: to know that the service needs not be asked for again; sends the request",
        "_request_auth": "overridden: asks for the service only once",
        "private_key": "the key of the request",
    },
    "BufferedPipe": {
        "_cv": "made of `_lock`, and so replaced too",
        "_lock": "its lock, replaced by one that knows its owner",
        "empty": "takes all that is there",
        "read_ready": "whether there is something",
        "set_event": "",
    },
    "Packetizer": {
        "_Packetizer__write_lock": "the lock of the thread that sends; it knows its owner",
        "complete_handshake": "ends the timer of the handshake",
    },
    "ChannelMap": {
        "_lock": "its lock, replaced by one that knows its owner",
        "_map": "the channels, for who must not wait for that lock",
    },
}
"""By class: the name, and what it is used for."""


def paramiko_objects() -> dict[str, object]:
    """One object of each class in `INTERNALS`, as the attributes are made when an object is."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport: Any = paramiko.Transport(ours)  # the type stubs leave out what begins with an underscore
        return {
            "Transport": transport,
            "Channel": paramiko.Channel(0),
            "AuthHandler": AuthHandler(transport),
            "BufferedPipe": BufferedPipe(),
            "Packetizer": transport.packetizer,
            "ChannelMap": transport._channels,
        }


def missing_internals() -> list[str]:
    """The names of `INTERNALS` that the installed Paramiko lacks, such as ``Transport._next_channel``."""
    objects = paramiko_objects()
    return [f"{kind}.{name}" for kind, names in INTERNALS.items() for name in names if not hasattr(objects[kind], name)]
