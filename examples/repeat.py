"""Watch a value in the background while something else is tested.

OTTO_LAB=lab.toml OTTO_HOST=carrot.repo1.api python repeat.py
"""

import os

from otto_docker_sync import Lab

with Lab.load(os.environ.get("OTTO_LAB", "lab.toml")) as lab:
    host = lab.get(os.environ.get("OTTO_HOST", "carrot.repo1.api"))

    host.start_repeat("load", "cut -d ' ' -f 1 /proc/loadavg", interval=0.2)
    host.run("sleep 2", check=True)  # the test itself
    host.stop_repeat("load")

    loads = [float(result.output) for result in host.repeat_results("load") if result.ok]
    print(f"{len(loads)} samples, highest load {max(loads)}")
