"""The public verbs of a host that are not about commands: files, and the services that run on it."""

from .files import FileVerbs
from .services import ServiceVerbs

__all__ = ["FileVerbs", "ServiceVerbs"]
