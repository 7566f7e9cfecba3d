"""The page of commands says what `--help` says."""

from __future__ import annotations

import subprocess
import sys

from commands_page import PATH


def test_every_command_and_flag_is_on_the_page() -> None:
    # In a process of its own: the parser changes what functions say of themselves.
    code = "from commands_page import page; import sys; sys.stdout.buffer.write(page().encode())"
    folder = PATH.parents[2] / "tests/helpers"
    said = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, check=True).stdout
    assert PATH.read_bytes() == said, "write it anew: python tests/helpers/commands_page.py"
