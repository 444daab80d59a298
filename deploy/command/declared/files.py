"""Reads what files declare: bodies of the API, by kind, each once.

Before: `plan`. After: `kinds.registry`, which says which kinds there are.
"""

import difflib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from modelplane.deploy.command.api.client import Json
from modelplane.deploy.command.api.documents import parse_all, read_text
from modelplane.deploy.command.api.failures import WrongUsage
from modelplane.deploy.command.declared.kinds.base import Item
from modelplane.deploy.command.declared.kinds.registry import ENDPOINTS, KINDS

_SUFFIXES = (".json", ".yaml", ".yml")


def read_items(paths: Sequence[Path]) -> list[Item]:
    """Return what files and the files of directories declare.

    Raises:
        WrongUsage: A file cannot be read or understood, or something is declared twice.
    """
    items = [item for path in paths for file in _files(path) for item in _read(file)]
    seen: dict[tuple[str, str], Item] = {}
    for item in items:
        known = seen.setdefault((item.section, item.name), item)
        if known is item:
            continue
        if KINDS[item.section].is_one:
            raise WrongUsage(
                f"{item.file}: {item.section} are declared as a whole, and {known.file} does so, "
                "too; keep them in one place"
            )
        raise WrongUsage(
            f"{item.file}: {item.section} has '{item.name}', which {known.file} has, too"
        )
    return items


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(
        file
        for file in path.rglob("*")
        if file.suffix in _SUFFIXES
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    if not found:
        raise WrongUsage(f"{path} has no files that end in {', '.join(_SUFFIXES)}")
    return found


def _read(file: Path) -> Iterator[Item]:
    for document in parse_all(read_text(file), str(file)):
        if document is None:
            continue
        if not isinstance(document, dict):
            raise WrongUsage(f"{file} holds something else than objects")
        if "name" in document:
            # The body that creates an endpoint stands for itself.
            yield _item(file, ENDPOINTS, document)
            continue
        for section, bodies in document.items():
            check_names([section], KINDS, f"{file}:")
            if not isinstance(bodies, list):
                raise WrongUsage(f"{file}: {section} is no list")
            yield from _section(file, section, bodies)


def _section(file: Path, section: str, bodies: list[object]) -> Iterator[Item]:
    if KINDS[section].is_one:
        yield _whole(file, section, bodies)
    else:
        for body in bodies:
            yield _item(file, section, body)


def _whole(file: Path, section: str, bodies: list[object]) -> Item:
    kind = KINDS[section]
    for number, body in enumerate(bodies):
        check_names(_object(file, section, body), kind.fields, f"{file}: {section}[{number}]:")
    item = Item(file, section, section, {section: bodies})
    kind.check(item)
    return item


def _object(file: Path, section: str, body: object) -> Json:
    if not isinstance(body, dict):
        raise WrongUsage(f"{file}: {section} holds something else than objects")
    return body


def _item(file: Path, section: str, given: object) -> Item:
    kind = KINDS[section]
    body = _object(file, section, given)
    name = body.get(kind.name_field)
    if not isinstance(name, str) or not name:
        raise WrongUsage(f"{file}: something in {section} has no {kind.name_field}")
    check_names(body, kind.fields, f"{file}: {section} '{name}':")
    item = Item(file, section, name, _checked(body, f"{file}: {section} '{name}'"))
    kind.check(item)
    return item


def check_names(names: Collection[str], known: Collection[str], place: str) -> None:
    """Check the names of an object's members.

    Raises:
        WrongUsage: One is not known; the nearest that is known is told.
    """
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            advice = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise WrongUsage(f"{place} {name} is not known; {advice}")


def _checked(body: Json, place: str) -> Json:
    """Return a body that holds no credential.

    Raises:
        WrongUsage: It holds one.
    """
    for path in _plaintexts(body):
        raise WrongUsage(
            f"{place}: {path} is a credential, which does not belong into a file; put it into a "
            "secret, and refer to it as {{secrets/SCOPE/KEY}}"
        )
    return body


def _plaintexts(value: object, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            inner_path = f"{path}.{name}".lstrip(".")
            if str(name).endswith("_plaintext") or name == "string_value":
                yield inner_path
            yield from _plaintexts(inner, inner_path)
    elif isinstance(value, list):
        for inner in value:
            yield from _plaintexts(inner, path)
