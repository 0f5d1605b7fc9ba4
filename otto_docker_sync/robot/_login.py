"""SSHLibrary's keywords that log in."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ..errors import AuthenticationError, ConfigError
from ..unix_host import UnixHost
from ._hosts import HostKeywords
from ._keyword import ssh_keyword
from ._open_host import HostRef, OpenHost, SecretText, reveal
from ._settings import seconds
from ._terminal import NoMatch, Terminal, find_regexp

NO_PROXY_COMMAND = (
    "proxy_cmd is not available: write ProxyCommand into ~/.ssh/config, which is read, "
    "or go through another open connection with jumphost_index_or_alias"
)


class LoginKeywords(HostKeywords):
    """Keywords that log in."""

    @ssh_keyword
    def login(
        self,
        username: str | None = None,
        password: SecretText | None = None,
        allow_agent: bool | None = None,
        look_for_keys: bool | None = None,
        delay: timedelta = timedelta(seconds=0.5),
        proxy_cmd: str | None = None,
        read_config: bool | None = None,
        jumphost_index_or_alias: HostRef = None,
        keep_alive_interval: timedelta | None = None,
        *,
        host: HostRef = None,
    ) -> str:
        """Log in with a password, or without one as the SSH agent and the keys in ``~/.ssh`` allow.

        Returns what the server shows: until the prompt, if one is set, else what arrives until nothing more does for
        ``delay``; with ``delay=0`` nothing is waited for.

        ``password`` may be a Secret variable. ``allow_agent`` and ``look_for_keys`` say whether the agent and the keys
        in ``~/.ssh`` are tried too; unless given, they are when there is no password. ``~/.ssh/config`` is read unless
        ``read_config`` is false. ``jumphost_index_or_alias`` is another open host, through which this one is reached.
        ``keep_alive_interval`` is the time of silence after which the server is asked for a sign of life, 15 seconds
        unless given. ``proxy_cmd`` is refused: write it into ``~/.ssh/config``.

        | Open Connection | lab-17 | prompt=$    |
        | Login           | tester | ${PASSWORD} |
        """
        text = reveal(password)
        keys = self._key_options(allow_agent, look_for_keys, read_config, keep_alive_interval, default=text is None)
        known = self._open_host(host)
        machine = self._machine(known, username, jumphost_index_or_alias, text, proxy_cmd, keys)
        try:
            _connect(known, machine)
        except AuthenticationError as error:
            known.log(str(error))
            raise RuntimeError(f"Authentication failed for user '{username}'.") from error
        return self._greeting(known, delay)

    @ssh_keyword
    def login_with_public_key(
        self,
        username: str | None = None,
        keyfile: str | None = None,
        password: SecretText | None = None,
        allow_agent: bool | None = None,
        look_for_keys: bool | None = None,
        delay: timedelta = timedelta(seconds=0.5),
        proxy_cmd: str | None = None,
        jumphost_index_or_alias: HostRef = None,
        read_config: bool | None = None,
        keep_alive_interval: timedelta | None = None,
        *,
        host: HostRef = None,
    ) -> str:
        """Log in with a key; ``password`` is the key's passphrase, and may be a Secret variable.

        ``keyfile`` is the one that ``~/.ssh/config`` names unless given. All else is as with `Login`.

        | Login With Public Key | tester | ~/.ssh/id_ed25519 |
        """
        _require_readable(keyfile)
        keys = self._key_options(allow_agent, look_for_keys, read_config, keep_alive_interval, default=keyfile is None)
        keys.update(identity_file=keyfile, passphrase=reveal(password) or None)
        known = self._open_host(host)
        machine = self._machine(known, username, jumphost_index_or_alias, None, proxy_cmd, keys)
        try:
            _connect(known, machine)
        except (AuthenticationError, ConfigError) as error:  # the second is what it says of a file that is not a key
            known.log(str(error))
            raise RuntimeError(f"Login with public key failed for user '{username}'.") from error
        return self._greeting(known, delay)

    def _key_options(
        self,
        allow_agent: bool | None,
        look_for_keys: bool | None,
        read_config: bool | None,
        keep_alive_interval: timedelta | None,
        *,
        default: bool,
    ) -> dict[str, Any]:
        options: dict[str, Any] = {
            "allow_agent": default if allow_agent is None else allow_agent,
            "look_for_keys": default if look_for_keys is None else look_for_keys,
            "keepalive_interval": seconds(keep_alive_interval) or None,
        }
        if read_config is False:
            options["config_file"] = ""
        return options

    def _machine(
        self,
        known: OpenHost,
        user: str | None,
        hop: HostRef,
        password: str | None,
        proxy_cmd: str | None,
        options: dict[str, Any],
    ) -> UnixHost:
        """Make the host object. Nothing is connected yet."""
        if proxy_cmd:
            raise ConfigError(NO_PROXY_COMMAND)
        if known.target is not None:
            raise ConfigError(f"{known.host}: already logged in")
        hop_host = None if hop is None else self._host(hop)
        if not (hop_host is None or isinstance(hop_host, UnixHost)):
            raise ConfigError(f"{hop_host.id}: only a machine reached over SSH can be a jump host")
        known.log(f"Logging into '{known.host}:{known.port}' as '{user}'.")
        return UnixHost(
            known.host or "",
            user,
            id=known.alias,
            password=password,
            port=known.port if known.port_is_given else None,
            hop=hop_host,
            ssh=replace(known.ssh, **options),
        )

    def _greeting(self, known: OpenHost, delay: timedelta) -> str:
        """Read what the server shows to a user who logs in."""
        assert known.target is not None
        if known.prompt is None and not delay:
            return ""
        terminal = Terminal(known.target, known)
        if known.prompt is not None:
            known.terminal = terminal
            try:
                output = terminal.read_until(find_regexp(known.prompt_regexp), known.timeout)
            except NoMatch as error:
                raise AssertionError(
                    f"No match found for '{known.prompt}' in {known.shown_timeout}\nOutput:\n{error.output}."
                ) from None
        else:
            output = ""
            while piece := terminal.read_available(delay.total_seconds()):
                output += piece
            terminal.close()
        output = known.clean(output)
        known.log(f"Read output: {output}")
        return output


def _connect(known: OpenHost, machine: UnixHost) -> None:
    try:
        machine.oneshot("true", log=False).check()
    except BaseException:
        machine.close()
        raise
    known.target = machine


def _require_readable(keyfile: str | None) -> None:
    if keyfile is None:
        return
    path = os.path.expanduser(keyfile)
    if not os.path.exists(path):
        raise RuntimeError(f"Given key file '{keyfile}' does not exist.")
    if not os.access(path, os.R_OK):
        raise RuntimeError(f"Could not read key file '{keyfile}'.")
