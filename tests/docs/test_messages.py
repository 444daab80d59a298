"""The messages that the pages quote are those of the code."""

import ast
import re
from collections.abc import Iterator

from tests.docs.blocks import ROOT

PAGE = ROOT / "docs" / "operating" / "troubleshooting.md"
CODE = ("adapters", "control_plane", "data_plane", "deploy", "launcher", "install.py")
# Said by others: the system.
FOREIGN = (
    "control-plane does not start: modelplane control-plane: [Errno 111] Connection refused",
)
_QUOTED = re.compile(r"``(.+?)``")
# Less of a text says nothing of where it is from.
_LEAST = 12


def test_messages_that_are_quoted_are_in_the_code() -> None:
    quoted = [message.replace("\\|", "|") for message in _QUOTED.findall(PAGE.read_text())]
    assert len(quoted) > 40
    texts = set(_texts())
    unknown = [one for one in quoted if one not in FOREIGN and not _is_said(one, texts)]
    assert unknown == []


def _is_said(message: str, texts: set[str]) -> bool:
    """Tell whether a message, in which `…` stands for anything, is made of one of the texts."""
    pattern = ".*".join(map(re.escape, message.split("…")))
    return any(re.search(pattern, text) for text in texts)


def _texts() -> Iterator[str]:
    """Yield all texts of the code; what is put in when it runs is a `…`."""
    for name in CODE:
        root = ROOT / name
        for path in [root] if root.is_file() else sorted(root.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if (text := _text(node)) and len(text) >= _LEAST:
                    yield text


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "…" for part in node.values)
    return ""
