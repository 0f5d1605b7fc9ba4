"""How Sphinx builds the documentation: ``python -m sphinx -W docs build/docs``."""

from __future__ import annotations

import tempfile
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from robot.libdoc import libdoc

project = "otto-docker-sync"
author = "The otto-docker-sync developers"
copyright = "The otto-docker-sync developers"
version = release = installed_version("otto-docker-sync")

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "alabaster"
html_theme_options = {
    "description": "Containers on lab machines behind SSH, as hosts",
    "fixed_sidebar": True,
    "page_width": "70rem",
}
html_sidebars = {"**": ["about.html", "searchfield.html", "navigation.html", "relations.html"]}
default_role = "py:obj"  # other names, such as those of arguments, are just shown as code

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_type_aliases = {name: name for name in ("Command", "Expects", "Hosts", "Timeout")}
python_use_unqualified_type_names = True

# The page of the Robot Framework library is made by Robot Framework's own tool and copied beside the others.
_robot_pages = Path(tempfile.mkdtemp(prefix="otto-libdoc-"))
html_extra_path = [str(_robot_pages)]


def _build_libdoc(_app: Any) -> None:
    libdoc("otto_docker_sync.robot.OttoDockerLibrary", str(_robot_pages / "OttoDockerLibrary.html"), quiet=True)


def _remove_libdoc(_app: Any, _exception: Exception | None) -> None:
    for page in _robot_pages.iterdir():
        page.unlink()
    _robot_pages.rmdir()


def _find_public_name(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Let ``run`` mean ``Host.run``, and ``Host`` mean ``otto_docker_sync.Host``."""
    domain = env.get_domain("py")
    for prefix in ("otto_docker_sync.", "otto_docker_sync.Host.", "otto_docker_sync.aio.", "otto_docker_sync.logs."):
        if prefix + node["reftarget"] in domain.objects:
            page = node.get("refdoc", env.docname)
            return domain.resolve_xref(env, page, app.builder, "obj", prefix + node["reftarget"], node, content)
    return None


def setup(app: Any) -> None:
    app.connect("builder-inited", _build_libdoc)
    app.connect("missing-reference", _find_public_name)
    app.connect("build-finished", _remove_libdoc)
