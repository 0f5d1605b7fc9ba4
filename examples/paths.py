"""Read and change files of a host in place.

OTTO_LAB=lab.toml OTTO_HOST=carrot.repo1.api python paths.py
"""

import os

from otto_docker_sync import Lab

with Lab.load(os.environ.get("OTTO_LAB", "lab.toml")) as lab:
    host = lab.get(os.environ.get("OTTO_HOST", "carrot.repo1.api"))
    folder = host.path("/tmp/otto-example")
    folder.mkdir(exist_ok=True)

    config = folder / "app.conf"
    config.write_text("colour = green\n")
    config.chmod(0o640)
    config.write_text(config.read_text().replace("green", "red"))
    print(config.read_text(), end="")
    print(f"{config.name}: {config.stat().st_size} bytes, mode {config.stat().st_mode & 0o777:o}")

    for path in sorted(host.path("/etc").glob("pass*")):
        print(path, "exists" if path.exists() else "is gone")
    try:
        (folder / "missing.conf").read_text()
    except FileNotFoundError as error:
        print(error)

    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
