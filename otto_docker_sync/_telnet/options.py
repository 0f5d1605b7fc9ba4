"""How to log in over telnet."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from ..deadline import timeout_seconds
from ..errors import ConfigError


@dataclass(frozen=True)
class TelnetOptions:
    """How a `UnixHost` with ``term="telnet"`` logs in. The defaults fit most Unix machines.

    Args:
        login_prompt: A regular expression for the prompt that asks for the user's name. Like the other two it is
            searched in what the host has shown, so it should end with ``$``.
        password_prompt: A regular expression for the prompt that asks for the password.
        shell_prompt: A regular expression for the prompt of the login shell.
        connect_timeout: Seconds for connecting and logging in, 30 by default.
        encoding: The encoding of the prompts, the name and the password.

    Raises `ConfigError` for a pattern or an encoding that is not valid.

    >>> UnixHost("192.0.2.20", "tester", term="telnet", password=pw, telnet=TelnetOptions(login_prompt="User: $"))
    """

    login_prompt: str = r"(?i)(?<!last )(login|user ?name|user)\s*:\s*$"
    password_prompt: str = r"(?i)pass(word|phrase|code)[^\n]*:\s*$"
    shell_prompt: str = r"[$#%>]\s*$"
    connect_timeout: float = 30.0
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        for name in ("login_prompt", "password_prompt", "shell_prompt"):
            try:
                re.compile(getattr(self, name))
            except (re.error, TypeError) as error:
                raise ConfigError(
                    f"telnet: {name}={getattr(self, name)!r} is not a valid regular expression: {error}"
                ) from error
        try:
            codecs.lookup(self.encoding)
        except (LookupError, TypeError) as error:
            raise ConfigError(f"telnet: encoding={self.encoding!r}: {error}") from error
        if timeout_seconds(self.connect_timeout) is None:
            raise ConfigError(f"telnet: connect_timeout={self.connect_timeout!r}: pass seconds")
