"""A model server over its socket: real models, MLflow 3."""

import contextlib
import io
import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.hosting.models.cache import Saved
from tests.hosting.replica import TOKEN, Replica, serving, serving_with


def _parquet() -> bytes:
    written = io.BytesIO()
    pq.write_table(pa.table({"prompt": ["a"]}), written)
    return written.getvalue()


PARQUET = _parquet()
SLOW = "--concurrency", "1", "--evaluation-seconds", "60"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("replicas")


@pytest.fixture(scope="module")
def streaming(mlflow_3: Saved, folder: Path) -> Iterator[Replica]:
    with serving(mlflow_3, "streaming", folder) as replica:
        yield replica


@pytest.fixture(scope="module")
def slow(mlflow_3: Saved, folder: Path) -> Iterator[Replica]:
    """Give one whose only slot each test leaves free."""
    with serving(mlflow_3, "slow", folder, *SLOW) as replica:
        yield replica


def _seconds(seconds: float) -> dict[str, object]:
    return {"dataframe_records": [{"seconds": seconds}]}


def _raw(replica: Replica, data: bytes) -> bytes:
    """Send bytes, and return all that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", replica.port), timeout=60) as sock:
        sock.sendall(data)
        with contextlib.suppress(ConnectionResetError):
            return b"".join(iter(lambda: sock.recv(65536), b""))
    return b""


def _head(*lines: str, method: str = "POST", path: str = "/invocations") -> bytes:
    all_lines = [f"{method} {path} HTTP/1.1", f"authorization: Bearer {TOKEN}", *lines]
    return "\r\n".join([*all_lines, "", ""]).encode()


def _until(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_health_needs_no_token(streaming: Replica) -> None:
    answered = streaming.ask(b"", "GET", "/ping", authorization="")
    assert answered.status == 200
    assert answered.headers["x-modelplane-load"] == "0"


@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("POST", "/invocations", "wrong", 401),
        ("POST", "/invocations", "", 401),
        ("GET", "/invocations", TOKEN, 405),
        ("POST", "/ping", TOKEN, 405),
        ("POST", "/elsewhere", TOKEN, 404),
        ("GET", "/", TOKEN, 404),
    ],
)
def test_only_what_is_served(
    streaming: Replica, method: str, path: str, token: str, status: int
) -> None:
    answered = streaming.ask(b"{}", method, path, authorization=f"Bearer {token}")
    assert answered.status == status
    assert answered.json["message"]


def test_a_connection_is_kept(streaming: Replica) -> None:
    with contextlib.closing(streaming.connect()) as connection:
        sockets = set()
        for body in (b'{"prompt": "a"}', b"no json", b'{"prompt": "a b"}'):
            connection.request("POST", "/invocations", body, streaming.headers)
            answer = connection.getresponse()
            answer.read()
            sockets.add(id(connection.sock))
            assert answer.status == (400 if body == b"no json" else 200)
        assert len(sockets) == 1


def test_a_body_may_come_in_chunks_and_after_a_question(streaming: Replica) -> None:
    body = b'{"prompt": "a b"}'
    chunked = b"".join(b"%x;x=y\r\n%c\r\n" % (1, byte) for byte in body) + b"0\r\nx: y\r\n\r\n"
    said = _raw(streaming, _head("transfer-encoding: chunked", "connection: close") + chunked)
    assert said.startswith(b"HTTP/1.1 200")
    assert said.endswith(b'"a b"')
    lines = (f"content-length: {len(body)}", "expect: 100-continue", "connection: close")
    said = _raw(streaming, _head(*lines) + body)
    assert said.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"what\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nx : y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000, 431),
        (_head("content-length: x"), 400),
        (_head("content-length: -1"), 400),
        (_head("content-length: 5", "transfer-encoding: chunked"), 400),
        (_head("content-length: 2", "content-length: 5"), 400),
        (_head("transfer-encoding: chunked", "transfer-encoding: chunked"), 400),
        (_head("transfer-encoding: gzip"), 400),
        (_head("transfer-encoding: chunked") + b"z\r\n", 400),
        (_head("transfer-encoding: chunked") + b"1\r\nabc\r\n", 400),
        (_head("transfer-encoding: chunked") + b"fffffff\r\n", 413),
        (_head("content-length: 16777217"), 413),
        (_head("content-length: 99999999999999999999"), 413),
        (_head("content-length: 2", "x-modelplane-deadline-ms: soon") + b"{}", 400),
    ],
)
def test_what_is_no_request_is_refused(streaming: Replica, data: bytes, status: int) -> None:
    said = _raw(streaming, data)
    assert said.startswith(b"HTTP/1.1 %d" % status), said
    assert b"connection: close" in said
    assert json.loads(said.partition(b"\r\n\r\n")[2])["error_code"]


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("", b'{"prompt": "a"}', 200),
        ("Application/JSON; charset=UTF-8", b'{"prompt": "a"}', 200),
        ("application/json", b'\xef\xbb\xbf{"prompt": "a"}', 200),
        ("text/csv", b"prompt\na\n", 200),
        ("application/vnd.apache.parquet", PARQUET, 200),
        ("application/json", b'{"prompt": "\xff"}', 400),
        ("text/csv", b"prompt\n\xff\n", 400),
        ("application/vnd.apache.parquet", b"PAR1", 400),
        ("application/json; charset=latin-1", b'{"prompt": "a"}', 400),
        ("application/json; format=pandas-split", b'{"prompt": "a"}', 400),
        ("text/plain", b'{"prompt": "a"}', 400),
    ],
)
def test_a_body_is_what_its_type_says(
    streaming: Replica, kind: str, body: bytes, status: int
) -> None:
    """Never 415, which is in no table of the clients."""
    answered = streaming.ask(body, content_type=kind)
    assert answered.status == status, answered.body
    if status == 200:
        assert json.loads(answered.body) in ("a", {"predictions": "a"})
    else:
        assert answered.json["error_code"] == "BAD_REQUEST"


def test_a_large_body_is_taken(streaming: Replica) -> None:
    body = json.dumps({"prompt": "x" * ((16 << 20) - 14)}).encode()
    assert len(body) == 16 << 20
    answered = streaming.ask(body)
    # The answer is as long and two characters more, for it has no key: just within the bound.
    assert answered.status == 200
    assert len(answered.body) < 16 << 20


def test_answers_come_piece_by_piece(streaming: Replica) -> None:
    with contextlib.closing(streaming.connect()) as connection:
        body = json.dumps({"prompt": "a wait b", "stream": True})
        connection.request("POST", "/invocations", body, streaming.headers)
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.readline() + answer.readline() == b'data: {"word":"a"}\n\n'
        assert answer.read() == b'data: {"word":"wait"}\n\ndata: {"word":"b"}\n\ndata: [DONE]\n\n'
        # And the connection is free for the next.
        connection.request("POST", "/invocations", b'{"prompt": "c"}', streaming.headers)
        assert connection.getresponse().read() == b'"c"'


def test_a_caller_who_goes_away_frees_the_slot(streaming: Replica) -> None:
    body = json.dumps({"prompt": "forever", "stream": True})
    callers = [streaming.connect() for _ in range(4)]
    for caller in callers:
        caller.request("POST", "/invocations", body, streaming.headers)
        assert caller.getresponse().status == 200
    # Those before may not have left yet.
    _until(lambda: streaming.ask(b"", "GET", "/ping").headers["x-modelplane-load"] == "4")
    for caller in callers:
        assert caller.sock
        caller.sock.shutdown(socket.SHUT_RDWR)
        caller.close()
    _until(lambda: streaming.ask(b"", "GET", "/ping").headers["x-modelplane-load"] == "0")
    assert streaming.ask({"prompt": "a"}).status == 200


def test_a_stream_has_an_end(streaming: Replica) -> None:
    body = {"prompt": "forever", "stream": True}
    for within_ms in ("300", "3000", "30000"):
        answered = streaming.ask(body, x_modelplane_deadline_ms=within_ms)
        # On a machine that is busy it may end before it begins.
        if answered.status == 200:
            break
    assert answered.status == 200
    last, done, _ = answered.body.decode().split("\n\n")[-3:]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "DEADLINE_EXCEEDED"
    assert done == "data: [DONE]"
    _until(lambda: streaming.ask(b"", "GET", "/ping").headers["x-modelplane-load"] == "0")


def test_those_who_find_no_place_are_told_at_once(slow: Replica) -> None:
    with ThreadPoolExecutor(8) as callers:
        first = callers.submit(slow.ask, _seconds(4))
        _until(lambda: slow.ask(b"", "GET", "/ping").headers["x-modelplane-load"] == "1")
        second = callers.submit(slow.ask, _seconds(0))
        _until(lambda: slow.ask(b"", "GET", "/ping").headers["x-modelplane-load"] == "2")
        for body in (_seconds(0), b"x" * (4 << 20)):
            refused = slow.ask(body)
            assert refused.status == 503
            assert refused.headers["x-modelplane-busy"] == "1"
            assert refused.headers["x-modelplane-load"] == "2"
        assert not first.done()
        assert first.result().status == second.result().status == 200


def test_a_call_that_takes_too_long_is_told_and_keeps_its_slot(slow: Replica) -> None:
    hanging = slow.ask(_seconds(4), x_modelplane_deadline_ms="200")
    assert hanging.status == 504
    assert hanging.json["error_code"] == "DEADLINE_EXCEEDED"
    # The only slot is taken by what nobody waits for: the process says so.
    assert slow.ask(b"", "GET", "/ping").status == 503
    waiting = slow.ask(_seconds(0), x_modelplane_deadline_ms="100")
    assert waiting.status == 504
    _until(lambda: slow.ask(b"", "GET", "/ping").status == 200)
    assert slow.ask(_seconds(0)).json == {"predictions": [{"seconds": 0.0}]}


def test_a_stop_lets_calls_finish(mlflow_3: Saved, folder: Path) -> None:
    with serving(mlflow_3, "slow", folder, *SLOW) as slow:
        _stop_while_it_answers(slow)


def _stop_while_it_answers(slow: Replica) -> None:
    idle = slow.connect()
    idle.request("GET", "/ping")
    idle.getresponse().read()
    with ThreadPoolExecutor(2) as callers:
        running = callers.submit(slow.ask, _seconds(3))
        _until(lambda: slow.ask(b"", "GET", "/ping").headers["x-modelplane-load"] == "1")
        slow.process.terminate()
        assert running.result().status == 200
    assert slow.process.wait(60) == 0
    idle.close()
    with pytest.raises(ConnectionRefusedError):
        slow.ask(_seconds(0))


def test_slow_callers_take_no_slot(slow: Replica) -> None:
    opened = [socket.create_connection(("127.0.0.1", slow.port)) for _ in range(50)]
    for sock in opened:
        sock.sendall(b"POST /invocations HTTP/1.1\r\n")
    assert slow.ask(_seconds(0)).status == 200
    for sock in opened:
        sock.close()


def test_a_model_that_does_not_load_says_why(mlflow_any: Saved, folder: Path) -> None:
    with serving(mlflow_any, "missing_module", folder) as replica:
        assert replica.ready == {
            "error": "An error occurred while loading the model. "
            "No module named 'nowhere_to_be_found'"
        }
        assert replica.process.wait(60) == 1
        assert "Traceback" in replica.log.read_text()


def test_a_model_without_its_weights_says_so(mlflow_3: Saved, folder: Path, tmp_path: Path) -> None:
    model = shutil.copytree(mlflow_3.model("iris"), tmp_path / "iris-alone")
    (model / "model.pkl").unlink()
    with serving_with(mlflow_3.python, model, folder) as replica:
        told = str(replica.ready["error"])
    assert told.startswith("An error occurred while loading the model. ")
    assert "model.pkl" in told
    assert str(tmp_path) not in told


def test_what_fails_is_in_the_log_whole(mlflow_3: Saved, folder: Path) -> None:
    with serving(mlflow_3, "raising", folder) as replica:
        body = {"dataframe_records": [{"how": "value"}]}
        answered = replica.ask(body, x_request_id="r-77")
        assert answered.status == 400
        _until(lambda: "ValueError: Unexpected error: value" in replica.log.read_text())
        log = replica.log.read_text()
        assert "request r-77 failed" in log
        assert "Traceback" in log
        assert TOKEN not in log
        assert replica.ask({"dataframe_records": [{"how": "exit"}]}).status == 400
        assert replica.process.poll() is None


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": [{"other": "4111-1111"}]},
        {"dataframe_split": {"columns": ["prompt"], "data": [["4111-1111", "4111-1111"]]}},
        {"inputs": {"prompt": ["a"], "params": "4111-1111"}, "instances": "4111-1111"},
        {"messages": "4111-1111"},
        b'{"prompt": "4111-1111"',
    ],
)
def test_what_the_signature_refuses_is_not_in_the_log(streaming: Replica, body: object) -> None:
    assert streaming.ask(body).status == 400
    assert "4111" not in streaming.log.read_text()


def test_many_at_once_get_their_own_answers(streaming: Replica) -> None:
    wrong = []

    def ask(number: int) -> None:
        for turn in range(20):
            prompt = f"{number} {turn}"
            answered = streaming.ask({"prompt": prompt})
            if answered.status != 503 and json.loads(answered.body) != prompt:
                wrong.append(answered)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
