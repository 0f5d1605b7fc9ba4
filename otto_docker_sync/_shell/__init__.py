"""Commands in remote shells: frames, sessions, oneshots. Other rooms use the names below."""

from __future__ import annotations

from .capture import Capture, Sink
from .conversation import CommandList, Conversation
from .interposed import interposed_error, stream_probe
from .matcher import TextStream
from .oneshot import Outcome, command_text, run_oneshot
from .patterns import compile_patterns
from .process_output import LineReader, ProcessOutput
from .runner import CommandRecord, Runner, observers
from .scripts import kill_tree, loader
from .stdin import AS_FORMAT, CommandInput, Input, ProcessInput

__all__ = [
    "AS_FORMAT",
    "Capture",
    "CommandInput",
    "CommandList",
    "CommandRecord",
    "Conversation",
    "Input",
    "LineReader",
    "Outcome",
    "ProcessInput",
    "ProcessOutput",
    "Runner",
    "Sink",
    "TextStream",
    "command_text",
    "compile_patterns",
    "interposed_error",
    "kill_tree",
    "loader",
    "observers",
    "run_oneshot",
    "stream_probe",
]
