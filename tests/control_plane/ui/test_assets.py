from pathlib import Path

from modelplane.control_plane.ui.assets import load_assets


def test_every_file_is_known_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_bytes(b"<!doctype html>")
    (tmp_path / "assets" / "main-4f2a.js").write_bytes(b"void 0")
    (tmp_path / "LICENSES.txt").write_bytes(b"MIT")
    assets = load_assets(tmp_path)
    assert set(assets) == {"", "index.html", "assets/main-4f2a.js", "LICENSES.txt"}
    assert assets[""] == assets["index.html"]
    assert assets[""].content_type == "text/html; charset=utf-8"
    assert assets["assets/main-4f2a.js"].content == b"void 0"


def test_only_what_carries_a_digest_is_kept(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "theme.js").write_bytes(b"void 0")
    (tmp_path / "assets" / "main-4f2a.js").write_bytes(b"void 0")
    assets = load_assets(tmp_path)
    assert "immutable" in assets["assets/main-4f2a.js"].cache_control
    assert assets["theme.js"].cache_control == "no-cache"
    assert assets[""].cache_control == "no-cache"


def test_without_a_build_there_is_a_page_that_says_how_to_build(tmp_path: Path) -> None:
    assets = load_assets(tmp_path / "absent")
    assert set(assets) == {"", "index.html"}
    assert b"make ui" in assets[""].content


def test_a_file_of_no_known_kind_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "odd.bin").write_bytes(b"\0")
    assert load_assets(tmp_path)["odd.bin"].content_type == "application/octet-stream"
