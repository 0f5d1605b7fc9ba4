"""What the options of SSH connections cost, and that they can be imported alone."""

from __future__ import annotations

import subprocess
import sys


def test_options_import_neither_paramiko_nor_telnetlib3() -> None:
    program = (
        "from otto_docker_sync import SSHOptions, TelnetOptions; import sys;"
        " print(sorted({'paramiko', 'telnetlib3'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
