"""Passwords and passphrases, which may be asked for only when they are needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Union

from .logs import mask

Secret = Union[str, Callable[[], str], None]
"""A secret, or what returns it when it is first needed: a call that asks a keyring, for example."""


def revealed(secret: Secret) -> str | None:
    """The secret itself, which no log shows from now on."""
    value = secret() if callable(secret) else secret
    mask(value)
    return value


def noted(secret: Secret) -> Secret:
    """The same secret. One that is known already shows in no log from now on, also before it is used."""
    if isinstance(secret, str):
        mask(secret)
    return secret
