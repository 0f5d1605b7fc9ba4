"""Ask many hosts at once.

OTTO_LAB=lab.toml python many_hosts.py
"""

import os

from otto_docker_sync import Lab

with Lab.load(os.environ.get("OTTO_LAB", "lab.toml")) as lab:
    results = lab.run_all("uname -s", hosts=lab.select(os.environ.get("OTTO_HOSTS", "*")), max_parallel=8)
    for host_id, result in results.items():
        print(f"{host_id:30} {result.output.strip() if result.ok else result.message}")
