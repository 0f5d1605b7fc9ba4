"""The public verbs of a host that are not about commands: files, and the services that run on it."""

from .files import FileVerbs
from .services import ServiceVerbs
from .waiting import Condition, Healthy, LogPattern, Patience, conditions_of, wait_until

__all__ = [
    "Condition",
    "FileVerbs",
    "Healthy",
    "LogPattern",
    "Patience",
    "ServiceVerbs",
    "conditions_of",
    "wait_until",
]
