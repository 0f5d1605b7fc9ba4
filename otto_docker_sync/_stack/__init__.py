"""Compose stacks on a parent. Other rooms use the names below."""

from __future__ import annotations

from .containers import StackContainer
from .hosts import StackHosts
from .remote import Lines, RemoteStack
from .stack import Stack

__all__ = ["Lines", "RemoteStack", "Stack", "StackContainer", "StackHosts"]
