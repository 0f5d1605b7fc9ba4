"""The socket below a connection."""

from __future__ import annotations

import socket

from otto_docker_sync._channel.tcp import SocketStream


def test_the_first_reads_are_acknowledged_at_once_however_the_kernel_would_do_it():
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as near:
        far, _ = listener.accept()
        with far:
            stream = SocketStream(near, quick_acks=20)
            is_quick = []
            for _ in range(30):
                # A dialogue: the kernel then waits with each acknowledgment for something to send it along with.
                stream.send(b"question", 5)
                far.recv(100)
                far.sendall(b"answer")
                assert stream.receive(100, 5) == b"answer"
                is_quick.append(near.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK))
    assert all(is_quick[:20]) and not any(is_quick[25:])
