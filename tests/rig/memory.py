"""What the C library's allocator tells of itself."""

from __future__ import annotations

import ctypes


class _Mallinfo(ctypes.Structure):
    """``struct mallinfo2``."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


def _mallinfo() -> _Mallinfo:
    ask = ctypes.CDLL(None).mallinfo2
    ask.restype = _Mallinfo
    told = ask()
    assert isinstance(told, _Mallinfo)
    return told


def heap_size() -> int:
    """Bytes that the allocator has from the system."""
    return int(_mallinfo().arena) + int(_mallinfo().hblkhd)


def free_size() -> int:
    """Bytes of these that nobody uses: the allocator keeps them for later."""
    return int(_mallinfo().fordblks)
