import re
from pathlib import Path

from modelplane import control_plane

ROOT = Path(control_plane.__file__).parent


def test_only_servicers_ask_for_the_caller_and_hand_it_on() -> None:
    named = {
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        if re.search(r"\bcurrent_principal\b", path.read_text())
    }
    assert {"endpoints/servicer.py", "interceptor.py", "principal.py"} <= named
    others = named - {"interceptor.py", "principal.py"}
    assert not [name for name in others if not name.endswith("servicer.py")]
