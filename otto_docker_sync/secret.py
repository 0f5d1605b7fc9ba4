"""Passwords and passphrases, which may be asked for only when they are needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Union

from .logs import mask

Secret = Union[str, Callable[[], str], None]
"""A secret, or a function that returns it when it is first needed, for example by asking a keyring."""


def reveal(secret: Secret) -> str | None:
    """Return the secret itself, calling what returns it. No log shows it from now on.

    >>> reveal(lambda: "hunter2")
    'hunter2'
    """
    value = secret() if callable(secret) else secret
    mask(value)
    return value


def register_secret(secret: Secret) -> Secret:
    """Keep a secret out of every log from now on, and return it.

    What a function returns is not known yet: `reveal` registers it when it is first asked for.
    """
    if isinstance(secret, str):
        mask(secret)
    return secret
