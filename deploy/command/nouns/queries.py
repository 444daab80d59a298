"""Verbs of `modelplane endpoints` that ask models: once, or in a conversation.

Before: `endpoints`.
"""

import json
import sys
from collections.abc import Callable, Iterator

from modelplane.deploy.command.api.client import Json, path_of
from modelplane.deploy.command.api.documents import JSON_HELP, read_json
from modelplane.deploy.command.api.failures import CommandFailed, Status, WrongUsage
from modelplane.deploy.command.api.rollouts import endpoint_path
from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.api.tables import member
from modelplane.deploy.command.api.verbs import Verb, argument
from modelplane.deploy.command.nouns.endpoint_arguments import NAME

_CHAT = "llm/v1/chat"
# How a text becomes a query, by the endpoint's task.
_QUERIES: dict[str, Callable[[str], Json]] = {
    _CHAT: lambda text: {"messages": [{"role": "user", "content": text}]},
    "llm/v1/completions": lambda text: {"prompt": text},
    "llm/v1/embeddings": lambda text: {"input": text},
}
_END = "[DONE]"
_CHAT_HELP = "/reset forgets the conversation; /quit or Ctrl-D ends it"


def _query(session: Session) -> None:
    given = session.given
    if bool(given.json) is bool(given.text):
        raise WrongUsage("give either a text or --json, as in: endpoints query chat 'Hello'")
    body = read_json(given.json) if given.json else _body(session)
    if given.max_tokens:
        body = {**body, "max_tokens": given.max_tokens}
    path = _path(session)
    if given.stream or body.get("stream"):
        _stream(session, path, {**body, "stream": True})
        return
    answer = session.client.query(path, body)
    text = _text(answer)
    session.show(answer, json.dumps(answer, indent=2) + "\n" if text is None else text + "\n")


def _body(session: Session) -> Json:
    given = session.given
    text = sys.stdin.read() if given.text == "-" else given.text
    body = _builder(session)(text)
    if given.system:
        if "messages" not in body:
            raise WrongUsage(f"{given.name} does not chat, so it takes no --system")
        body["messages"].insert(0, {"role": "system", "content": given.system})
    return body


def _builder(session: Session) -> Callable[[str], Json]:
    name = session.given.name
    endpoint = session.client.call("GET", endpoint_path(name))
    task = str(endpoint.get("task"))
    if task not in _QUERIES:
        raise WrongUsage(f"{name} does not take a text alone; give the whole query with --json")
    return _QUERIES[task]


def _path(session: Session) -> str:
    given = session.given
    entity = ("served-models", given.served_entity) if given.served_entity else ()
    return path_of("serving-endpoints", given.name, *entity, "invocations")


def _stream(session: Session, path: str, body: Json) -> None:
    if session.is_json:
        for chunk in _chunks(session, path, body):
            session.write(json.dumps(chunk) + "\n")
        return
    for piece in _pieces(_chunks(session, path, body)):
        session.write(piece)
    session.write("\n")


def _chunks(session: Session, path: str, body: Json) -> Iterator[Json]:
    for data in session.client.stream(path, body):
        if data == _END:
            return
        chunk = _parsed(data)
        if "error" in chunk:
            message = member(chunk, "error", "message") or chunk["error"]
            raise CommandFailed(f"the answer broke off: {message}", Status.NO_ANSWER)
        yield chunk


def _parsed(data: str) -> Json:
    try:
        chunk = json.loads(data)
    except ValueError:
        chunk = None
    if not isinstance(chunk, dict):
        raise CommandFailed(f"the answer holds what is no event: {data[:80]}", Status.NO_ANSWER)
    return chunk


def _pieces(chunks: Iterator[Json]) -> Iterator[str]:
    for chunk in chunks:
        for choice in chunk.get("choices", []):
            yield member(choice, "delta", "content") or choice.get("text") or ""


def _text(answer: Json) -> str | None:
    """Return what a model said; None: the answer is no text, such as an embedding."""
    choices = answer.get("choices")
    if not choices:
        return None
    text = member(choices[0], "message", "content")
    return text if isinstance(text, str) else choices[0].get("text")


def _chat(session: Session) -> None:
    given = session.given
    endpoint = session.client.call("GET", endpoint_path(given.name))
    if (task := endpoint.get("task")) != _CHAT:
        raise WrongUsage(f"{given.name} does not chat, its task is {task}; use `endpoints query`")
    if sys.stdin.isatty():
        # Lines can be edited, and those before come back.
        import readline  # noqa: F401, PLC0415 - not on every Python, nor needed elsewhere

        session.note(f"{given.name}: {_CHAT_HELP}")
    messages = _opening(given.system)
    while (line := _line()) not in (None, "/quit"):
        if line == "/reset":
            messages = _opening(given.system)
        elif line:
            messages = _turn(session, messages, line)


def _opening(system: str) -> list[Json]:
    return [{"role": "system", "content": system}] if system else []


def _line() -> str | None:
    """Return what the user says next; None: no more."""
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return None


def _turn(session: Session, messages: list[Json], line: str) -> list[Json]:
    """Show the answer to a line; return the conversation with both, or as it was if it failed."""
    asked = [*messages, {"role": "user", "content": line}]
    body = {"messages": asked, "stream": True}
    said = []
    try:
        for piece in _pieces(_chunks(session, _path(session), body)):
            session.write(piece)
            said.append(piece)
    except CommandFailed as error:
        session.note(f"{error}")
        return messages
    except KeyboardInterrupt:
        # The rest of the answer is not wanted; the conversation goes on.
        session.note("")
    session.write("\n")
    return [*asked, {"role": "assistant", "content": "".join(said)}]


_ENTITY = argument(
    "--served-entity", default="", help="ask this one, whatever the traffic split says"
)
_SYSTEM = argument("--system", default="", metavar="TEXT", help="what the model is to be")
VERBS = (
    Verb(
        "query",
        "ask a model once",
        _query,
        (
            NAME,
            argument("text", nargs="?", default="", help="question; - for standard input"),
            argument("--json", default="", metavar="JSON", help=f"the whole query: {JSON_HELP}"),
            argument("--stream", action="store_true", help="show the answer as it comes"),
            _SYSTEM,
            argument("--max-tokens", type=int, metavar="N", help="longest answer"),
            _ENTITY,
        ),
    ),
    Verb("chat", "talk with a model", _chat, (NAME, _SYSTEM, _ENTITY), epilog=_CHAT_HELP),
)
