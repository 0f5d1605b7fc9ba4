"""The decorators that make a method a keyword."""

from __future__ import annotations

import difflib
import functools
import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar, cast

from robot.api.deco import keyword as robot_keyword

from ..errors import ConfigError
from ._logging import library_records_at_debug

Function = TypeVar("Function", bound=Callable[..., Any])

NAMED = re.compile(r"([A-Za-z_]\w*)=")
CLOSENESS = 0.75
"""How alike, from 0 to 1, a name must be to an argument's name to be taken for a misspelling of it."""


def keyword(function: Function) -> Function:
    """Make a method a keyword, which refuses what looks like a misspelt named argument.

    Robot Framework passes ``name=value`` by position where no argument has that name, so that it would silently become
    the value of some other argument.
    """
    parameters = list(inspect.signature(function).parameters.values())[1:]

    @functools.wraps(function)
    def checked(self: Any, *args: Any, **named: Any) -> Any:
        _refuse_misspelt(parameters, args)
        return function(self, *args, **named)

    return cast("Function", robot_keyword(checked))


def ssh_keyword(function: Function) -> Function:
    """Make a method a keyword of SSHLibrary, which logs what SSHLibrary logs.

    What the library itself logs meanwhile would say the same once more, so it appears at level DEBUG.
    """

    @functools.wraps(function)
    def quiet(self: Any, *args: Any, **named: Any) -> Any:
        with library_records_at_debug():
            return function(self, *args, **named)

    return keyword(cast("Function", quiet))


def _refuse_misspelt(parameters: list[inspect.Parameter], args: tuple[Any, ...]) -> None:
    named = [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_POSITIONAL]
    by_position = [parameter for parameter in parameters if parameter.kind is not parameter.KEYWORD_ONLY]
    for place, value in enumerate(args):
        parameter = by_position[min(place, len(by_position) - 1)]
        optional = parameter.kind is parameter.VAR_POSITIONAL or parameter.default is not parameter.empty
        match = NAMED.match(value) if optional and isinstance(value, str) else None
        if match is None:
            continue
        close = difflib.get_close_matches(match[1].lower(), named, n=1, cutoff=CLOSENESS)
        if close:
            raise ConfigError(
                f"'{value}': this keyword has no argument '{match[1]}'; did you mean {close[0]}=? "
                "(If it belongs to the command, write the command as one argument.)"
            )
        if isinstance(parameter.default, bool):
            raise ConfigError(f"'{value}': this keyword has no argument '{match[1]}'; it has: {', '.join(named)}")
