"""Files in and out of a host.

Other rooms use the names below. They are imported when first used, so that a program that moves no files does not load
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._channel.descriptors import explain_no_descriptors
from .._lazy import lazy_names

if TYPE_CHECKING:
    from .docker_cp import DockerCopy
    from .glob import Pattern
    from .left_out import LeftOut, describe_type
    from .paths import PathOperations
    from .sftp import SFTPTransport
    from .transfer import get, put

__all__ = ["DockerCopy", "LeftOut", "PathOperations", "Pattern", "SFTPTransport", "describe_type", "get", "put"]

if not TYPE_CHECKING:
    _import_name = lazy_names(
        __name__,
        {
            "docker_cp": ["DockerCopy"],
            "glob": ["Pattern"],
            "left_out": ["LeftOut", "describe_type"],
            "paths": ["PathOperations"],
            "sftp": ["SFTPTransport"],
            "transfer": ["get", "put"],
        },
    )

    def __getattr__(name):
        with explain_no_descriptors("the library cannot load its code for files"):
            return _import_name(name)
