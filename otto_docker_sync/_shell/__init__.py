"""Commands in remote shells: frames, sessions, oneshots. Other rooms use the names below."""

from __future__ import annotations

from .capture import Capture, Sink
from .conversation import CommandList, Conversation
from .matcher import TextStream
from .oneshot import command_text, run_oneshot
from .runner import Runner, observers
from .scripts import kill_tree, loader

__all__ = [
    "Capture",
    "CommandList",
    "Conversation",
    "Runner",
    "Sink",
    "TextStream",
    "command_text",
    "kill_tree",
    "loader",
    "observers",
    "run_oneshot",
]
