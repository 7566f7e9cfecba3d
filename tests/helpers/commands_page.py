"""Writes the page of all commands from what `--help` knows: python tests/helpers/commands_page.py"""

from __future__ import annotations

from pathlib import Path

from foretell.cli.app import COMMANDS, command
from foretell.cli.parser import app_of

PATH = Path(__file__).parents[2] / "docs/reference/commands.md"
_HEAD = """# Commands

What `foretell COMMAND --help` says, written from it. Settings have other places, too: see [settings](settings.md).
"""


def page() -> str:
    for name in COMMANDS:  # each time the parser learns of the flags of one more
        app = app_of(COMMANDS, name, command(name))
    text = app.generate_docs(heading_level=1)
    for name in COMMANDS:  # our usage lines have the name of the command already
        text = text.replace(f"\nforetell {name} {name}", f"\nforetell {name}")
    commands = text.split("\n## foretell ", 1)[1].rstrip()
    return f"{_HEAD}\n{_listed()}\n\n## foretell {commands}\n"


def _listed() -> str:
    return "\n".join(f"- [`{name}`](#foretell-{name}): {what.help}" for name, what in COMMANDS.items())


if __name__ == "__main__":
    PATH.write_text(page(), "utf-8")
