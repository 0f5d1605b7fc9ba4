"""The files of a Compose project that Compose itself reads, and the variables that they may mention.

Compose is the only reader of these files. Which of them there are is found out with its help: the compose files travel
to the parent, Compose is asked for its ``config``, and what it misses travels next. Words in a compose file that happen
to be the name of a file here travel at once: that saves round trips, and it finds files which Compose may miss without
a word, such as an env file that is not required. Where such a word has variables, Compose is asked to fill them in.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shlex
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import ConfigError
from ..limits import MENTIONED_FILE
from .tree import TREE, add_text, common_root

PARENTS_OWN = frozenset({"HOME", "LOGNAME", "OLDPWD", "PATH", "SHELL", "TMPDIR", "USER"})
"""Variables that mean something else on the parent, so it uses its own values."""

STEERING = frozenset(
    "BUILDKIT_HOST BUILDX_BUILDER BUILDX_CONFIG COMPOSE_API_VERSION COMPOSE_DISABLE_ENV_FILE COMPOSE_ENV_FILES "
    "COMPOSE_FILE COMPOSE_PATH_SEPARATOR COMPOSE_PROJECT_NAME COMPOSE_TLS_VERSION CONTAINERS_CONF "
    "CONTAINER_CONNECTION CONTAINER_HOST CONTAINER_SSHKEY DOCKER_API_VERSION DOCKER_BUILDKIT DOCKER_CERT_PATH "
    "DOCKER_CONFIG DOCKER_CONTEXT DOCKER_CUSTOM_HEADERS DOCKER_HOST DOCKER_TLS DOCKER_TLS_VERIFY LD_LIBRARY_PATH "
    "LD_PRELOAD REGISTRY_AUTH_FILE SSH_AGENT_PID SSH_AUTH_SOCK XDG_CONFIG_HOME XDG_RUNTIME_DIR".split()
)
"""Variables that steer the docker client: ours are about this machine's docker, and the parent's is meant."""

ALWAYS = frozenset({"COMPOSE_PROFILES"})
"""Variables that Compose reads though no file mentions them."""

VARIABLE_NAME = re.compile(r"[A-Za-z_]\w*")
WORD = re.compile(r"""[^\s\[\]{},:"'=|<>#!]+""")
QUOTED = re.compile(r'"([^"\n]+)"|' + r"'([^'\n]+)'")

VARIABLE_WORD = re.compile(r"""(?:\$\{(?:[^{}\n]|\{[^{}\n]*\})*\}|[^\s\[\]{},:"'=|<>#!])+""")
"""As WORD, with what stands between braces after a dollar."""

FILLED = re.compile(r"(?:[^$]|\$\$|\$[A-Za-z_]\w*|\$\{[A-Za-z_]\w*(?::?[-+].*)?\})+")
"""Text whose variables Compose fills in without an error."""

DEMANDED = re.compile(r"(\$\{\w+):?\?[^{}]*\}")
"""A variable that has to be set."""

MISSED_SILENTLY = re.compile(rb"\b(?:required|project_directory)\b")
"""A text with such a word may name a file that Compose misses without a word: an env file that is not required, the
.env of an included project's directory."""

WORDS_KEY = "x-otto-words"

AFTER_PATH = ("", " ", ":", ",", ";", "'", '"', ")", "]")
"""What may follow a path in an error of Compose."""

COMPOSE_SUFFIXES = (".yml", ".yaml", ".json")


class ProjectFiles:
    """The compose files of a project, and the other texts that Compose reads with them.

    Raises `ConfigError` for a file that is not there or cannot be read.
    """

    def __init__(self, compose_files: Iterable[Path], environment: Mapping[str, str] | None = None) -> None:
        self.compose_files = [Path(os.path.abspath(path)) for path in compose_files]
        self.directory = self.compose_files[0].parent
        self.texts: dict[Path, bytes] = {}
        self.directories: set[Path] = set()
        """Directories whose names are mentioned. They have to be there, or some versions of Compose do not resolve
        the paths that lead to them."""
        self._environment = dict(os.environ if environment is None else environment)
        for path in self.compose_files:
            self._read(path, f"compose file {path}")
        self.env_files = self._find_env_files()
        for path in self.env_files:
            self._read(path, f"env file {path}")

    def _find_env_files(self) -> list[Path]:
        """Return the files that Compose takes variables from: those of COMPOSE_ENV_FILES, or ``.env``."""
        chosen = self._environment.get("COMPOSE_ENV_FILES")
        if chosen:
            return [Path(os.path.abspath(name)) for name in chosen.split(",")]
        default = self.directory / ".env"
        return [default] if default.is_file() else []

    def _read(self, path: Path, what: str) -> None:
        try:
            self.texts[path] = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{what}: {error.strerror}") from None
        # An included project has its variables in an .env of its own, which Compose does not miss.
        self._suspect(path.parent / ".env")
        if self._is_compose_file(path):
            for word in sorted(_words(self.texts[path], WORD)):
                if _may_be_relative(word):
                    self._suspect(path.parent / word)
                    self._suspect(self.directory / word)

    def _is_compose_file(self, path: Path) -> bool:
        return path in self.compose_files or path.suffix in COMPOSE_SUFFIXES

    def _suspect(self, path: Path) -> None:
        """Take a file along that Compose may want to read."""
        path = Path(os.path.normpath(path))
        if path in self.texts or path in self.directories:
            return
        try:
            if path.is_dir():
                self.directories.add(path)
                self._suspect(path / ".env")
            elif path.is_file() and path.stat().st_size <= MENTIONED_FILE and b"\0" not in path.read_bytes():
                self._read(path, str(path))
        except OSError:
            pass  # Compose will say so if it needs it

    def words_with_variables(self) -> list[str]:
        """Return words that may name what Compose misses without a word, for Compose to fill in their variables."""
        texts = [text for path, text in self.texts.items() if self._is_compose_file(path)]
        if not any(MISSED_SILENTLY.search(text) for text in texts):
            return []
        words = {DEMANDED.sub(r"\1}", word) for text in texts for word in _words(text, VARIABLE_WORD) if "$" in word}
        return sorted(word for word in words if FILLED.fullmatch(word))

    def take_words(self, answer: bytes) -> bool:
        """Take along the files that are meant by words which Compose has filled in. Returns whether there was any."""
        before = len(self.texts), len(self.directories)
        words = {str(word).replace("$$", "$") for word in json.loads(answer or b"{}").get(WORDS_KEY, [])}
        for word in sorted(words):
            if word and _may_be_relative(word):
                for directory in sorted({self.directory, *self.directories, *(path.parent for path in self.texts)}):
                    self._suspect(directory / word)
        return before != (len(self.texts), len(self.directories))

    def find_missed(self, message: str, base: str) -> bool:
        """Take along what Compose missed, and return whether there was anything.

        `message` is its error, `base` where our files were. A path in an error may be
        followed by anything, so the longest one that exists here is taken.
        """
        found = False
        for rest in message.split(f"{base}/{TREE}/")[1:]:
            line = rest.partition("\n")[0]
            for end in range(len(line), 0, -1):
                # Only whole names: a directory that holds what was missed is not what was missed.
                if line[end : end + 1] in AFTER_PATH and os.path.lexists(path := _absolute(line[:end])):
                    found |= self._take_missed(path)
                    break
        return found

    def make_directories(self, names: Iterable[str]) -> bool:
        """Have these directories on the parent, too, when Compose is asked again. Returns whether any is new."""
        paths = {Path(os.path.normpath(self.directory / name)) for name in names}
        new = {path for path in paths - self.directories if path.is_dir()}
        self.directories |= new
        return bool(new)

    def _take_missed(self, path: Path) -> bool:
        if path in self.texts or path in self.directories:
            return False
        if path.is_dir():
            self.directories.add(path)
        else:
            self._read(path, str(path))
        return True

    def variables(self) -> dict[str, str]:
        """Return the variables of our environment whose names stand in any of the files, as words of whatever kind."""
        mentioned = set(ALWAYS)
        for text in self.texts.values():
            mentioned.update(VARIABLE_NAME.findall(text.decode("utf-8", "replace")))
        names = (mentioned - PARENTS_OWN - STEERING) & self._environment.keys()
        return {name: self._environment[name] for name in sorted(names - {"PWD"})}

    def working_directory(self) -> Path | None:
        """Return our PWD if a file mentions it: what lies below it travels like what is named by a relative path."""
        mentioned = any(re.search(rb"\bPWD\b", text) for text in self.texts.values())
        return Path(os.path.normpath(self._environment.get("PWD") or os.getcwd())) if mentioned else None

    def profiles(self) -> list[str]:
        """Return the profiles that our environment activates."""
        return self._environment.get("COMPOSE_PROFILES", "").split(",")

    def mentions_profiles(self) -> bool:
        """Whether some service may be behind a profile."""
        return any(b"profiles" in text for text in self.texts.values())

    def text_archive(self, kind: str) -> str:
        """Return the texts as an archive in base64, by their whole paths, with the files beside them."""
        packed = io.BytesIO()
        root = Path("/")
        with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.GNU_FORMAT) as tar:
            for path in sorted({*self.directories, *(path.parent for path in self.texts)}):
                info = tarfile.TarInfo(self._name(path, root))
                info.type, info.mode = tarfile.DIRTYPE, 0o700
                tar.addfile(info)
            for path, content in sorted(self.texts.items()):
                add_text(tar, self._name(path, root), content)
            words = json.dumps({WORDS_KEY: self.words_with_variables()}).encode()
            for name, content in {**self.side_files(root, kind), "words.json": words}.items():
                add_text(tar, name, content)
        return base64.b64encode(packed.getvalue()).decode()

    def side_files(self, root: Path, kind: str) -> dict[str, bytes]:
        """Return what stands beside the tree: the shell text ``setup``, and ``values.env`` with our variables.

        Values go in files and in no argument, where other users of the parent could read them. They are given twice:
        exported, which is what Compose expects, and in an env file, because sudo and other programs in front of the
        docker client may drop the environment.
        """
        variables = self.variables()
        pwd = self.working_directory()
        lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
        directory = self._shell_path(self.directory, root)
        lines += [f"mkdir -p {directory}", f"cd {directory} || exit"]
        if pwd is not None:
            # Relative to the directory, since it may lie above all that travels.
            lines.append(f"export PWD={self._shell_path(pwd, root)}")
        env_files = [self._shell_path(path, root) for path in self.env_files]
        values = '"$base/values.env"'
        written = env_text(variables, kind).encode("utf-8", "surrogateescape")
        if kind == "2":
            # In front for what the other files refer to, at the end because ours win.
            files = [values, *env_files, values] if variables else env_files if self.env_files else []
        else:
            # These take one env file only.
            files = [values] if variables or self.env_files else []
            texts = (self.texts[path].removeprefix(b"\xef\xbb\xbf") + b"\n" for path in self.env_files)
            written = b"".join([written, *texts, written])
        options = [f"--env-file {path}" for path in files]
        options += [f"-f {shlex.quote(os.path.relpath(path, self.directory))}" for path in self.compose_files]
        lines.append(f"set -- {' '.join(options)}")
        setup = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
        return {"setup": setup, "values.env": written}

    def root_with(self, paths: Iterable[Path]) -> Path:
        """Return the directory that holds all texts, and `paths`."""
        pwd = self.working_directory()
        everything = [self.directory, *(path.parent for path in self.texts), *paths, *([pwd] if pwd else [])]
        return common_root(everything)

    def _name(self, path: Path, root: Path) -> str:
        relative = path.relative_to(root).as_posix()
        return TREE if relative == "." else f"{TREE}/{relative}"

    def _shell_path(self, path: Path, root: Path) -> str:
        return '"$base"/' + shlex.quote(self._name(path, root))


def _words(text: bytes, word: re.Pattern[str]) -> set[str]:
    """Return the words of a text, and what stands between quotes in it."""
    decoded = text.decode("utf-8", "replace")
    return {*word.findall(decoded), *("".join(pair) for pair in QUOTED.findall(decoded))}


def _may_be_relative(word: str) -> bool:
    return not word.startswith(("/", "~")) and "\0" not in word


def _absolute(path: str) -> Path:
    return Path(os.path.normpath(f"/{path}"))


def env_text(variables: Mapping[str, str], kind: str) -> str:
    """Return an env file with these values, as the versions of Compose read it: each has quotes of its own."""
    lines = []
    for name, value in variables.items():
        if kind == "2":
            escaped = re.sub(r'([\\"$])', r"\\\1", value).replace("\r", "\\r")
            lines.append(f'{name}="{escaped}"\n')
        else:
            escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("${", "${LITERAL_DOLLAR}{")
            lines.append(f"{name}='{escaped}'\n")
    if lines and kind != "2":
        # Also between single quotes, ${NAME} is replaced there, once.
        lines.insert(0, "LITERAL_DOLLAR='$'\n")
    return "".join(lines)
