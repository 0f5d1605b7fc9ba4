"""The telnet protocol on a connection: it negotiates the options, and passes the data on."""

from __future__ import annotations

import struct
import threading
from contextlib import suppress

from .._channel.descriptors import Descriptors
from .._channel.tcp import Stream
from ..deadline import Deadline
from ..errors import ConfigError
from ..limits import TELNET_READ_SIZE, WRITE_POLL


class TelnetLink:
    """A connection to a telnet server. It owns `stream`, closed by ``descriptors.close()``.

    One thread may receive while another sends. telnetlib3 speaks the protocol. Of it, only the part without asyncio is
    used: it takes the bytes that arrive, and writes its answers to us.
    """

    def __init__(self, stream: Stream, term: str, size: tuple[int, int]) -> None:
        self.descriptors = Descriptors()
        self.descriptors.owned.callback(stream.close)
        self.descriptors.owned.callback(stream.shutdown)
        try:
            from telnetlib3 import telopt
            from telnetlib3.stream_writer import TelnetWriter
        except ImportError as error:
            self.descriptors.close()
            raise ConfigError('term="telnet" needs telnetlib3: pip install "otto-docker-sync[telnet]"') from error
        self._stream = stream
        self._size = size
        self._reason = ""
        self._unsent = bytearray()
        self._sending = threading.Lock()
        self._options = telopt
        core = TelnetWriter(self, None, client=True)  # type: ignore[arg-type]  # the methods below are all it calls
        core.compression = False
        core.always_wont |= {telopt.LINEMODE, telopt.NEW_ENVIRON, telopt.XDISPLOC, telopt.CHARSET}
        core.set_ext_send_callback(telopt.TTYPE, lambda: term)
        core.set_ext_send_callback(telopt.NAWS, lambda: self._size[::-1])
        # The option BINARY is the byte 0, and busybox's telnetd drops a NUL at the end of what it reads. So another
        # request must come after it.
        core.iac(telopt.WILL, telopt.BINARY)
        core.iac(telopt.DO, telopt.BINARY)
        core.iac(telopt.DO, telopt.SGA)
        self._core = core

    # The transport of the protocol core

    def write(self, data: bytes) -> None:
        with self._sending:
            self._unsent += data

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: object = None) -> object:  # noqa: ARG002 (telnetlib3 calls it)
        return default

    # For the channel

    def receive(self, deadline: Deadline) -> bytes:
        """Wait for data, and return what is there; empty bytes are the end. Raises `DeadlineExpired`."""
        while True:
            self.flush()
            try:
                raw = self._stream.receive(TELNET_READ_SIZE, 0)
            except OSError as error:
                self._reason = str(error)
                return b""
            if raw == b"":
                return b""
            if raw:
                data = self._data_of(raw)
                if data:
                    return data
                continue
            # No event says when a tunnel accepts more bytes: it has to be tried again.
            limit = deadline.at_most(WRITE_POLL) if self._unsent else deadline
            if not self.descriptors.wait(limit.wait_time(), [self._stream.fileno()]):
                if self.descriptors.closed:
                    return b""
                deadline.check()

    def send(self, data: bytes) -> None:
        """Send data, or keep it until the server accepts it."""
        data = data.replace(b"\xff", b"\xff\xff")
        self.write(data if self._core.outbinary else data.replace(b"\r", b"\r\0"))
        self.flush()

    def flush(self) -> bool:
        """Send what the server accepts now. Returns whether nothing is left to send."""
        with self._sending, suppress(OSError):  # `receive` will report that the connection is gone
            while self._unsent:
                taken = self._stream.send(bytes(self._unsent[:TELNET_READ_SIZE]), 0)
                if not taken:
                    break
                del self._unsent[:taken]
        return not self._unsent

    def resize(self, size: tuple[int, int]) -> None:
        """Tell the server the size of its terminal, if it has asked for it."""
        self._size = size
        telopt = self._options
        if self._core.local_option.enabled(telopt.NAWS):
            value = struct.pack("!HH", *size).replace(b"\xff", b"\xff\xff")
            self._core.send_iac(telopt.IAC + telopt.SB + telopt.NAWS + value + telopt.IAC + telopt.SE)
            self.flush()

    def reason(self) -> str:
        """Return why the connection ended."""
        return self._reason or self._stream.reason()

    def _data_of(self, raw: bytes) -> bytes:
        """Return the data in `raw`, without telnet commands.

        Only the commands go through the protocol core, byte by byte: for the data, that would be too slow.
        """
        data, at = bytearray(), 0
        while at < len(raw):
            if not self._core.is_oob:
                command = raw.find(b"\xff", at)
                command = len(raw) if command < 0 else command
                data += raw[at:command]
                at = command
            byte = raw[at : at + 1]
            with suppress(ValueError):  # an invalid command is ignored
                if byte and self._core.feed_byte(byte):
                    data += byte
            at += 1
        return bytes(data)
