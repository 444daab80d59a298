"""Values as JSON, by the environment's fast writer and without one: both say the same."""

import dataclasses
import datetime as dt
import decimal
import enum
import json
import uuid

import pytest

from modelplane.launcher.model_server import answers
from modelplane.launcher.model_server.refusals import Refused


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: float
    colour: Colour


class Tensor:
    def tolist(self) -> list[float]:
        return [1.0, float("nan")]


class Pydantic:
    def model_dump(self) -> dict[str, object]:
        return {"at": dt.date(2026, 1, 2)}


@pytest.fixture(params=["fast", "plain"])
def _writer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answers._ORJSON is not None
    if request.param == "plain":
        monkeypatch.setattr(answers, "_ORJSON", None)


pytestmark = pytest.mark.usefixtures("_writer")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"a": [1, 2.5, None, True, "é"]}, {"a": [1, 2.5, None, True, "é"]}),
        ([float("nan"), float("inf"), {"x": -float("inf")}], [None, None, {"x": None}]),
        ([2**70, float("nan")], [2**70, None]),
        ({2: "a", None: "b", True: "c"}, {"2": "a", "null": "b", "true": "c"}),
        ((1, (2, 3)), [1, [2, 3]]),
        ([b"\x00\xff", bytearray(b"a")], ["AP8=", "YQ=="]),
        (
            [dt.datetime(2026, 1, 2, 3, 4, 5, 6, dt.UTC).replace(tzinfo=None), dt.time(1)],
            ["2026-01-02T03:04:05.000006", "01:00:00"],
        ),
        ([dt.datetime(2026, 1, 2, tzinfo=dt.UTC)], ["2026-01-02T00:00:00+00:00"]),
        ([dt.timedelta(seconds=61)], ["0:01:01"]),
        ([Point(float("nan"), Colour.RED)], [{"x": None, "colour": "red"}]),
        ({"set": {1}}, {"set": [1]}),
        ([decimal.Decimal("1.10"), uuid.UUID(int=1)], ["1.10", str(uuid.UUID(int=1))]),
        ([Tensor(), Pydantic()], [[1.0, None], {"at": "2026-01-02"}]),
        (["half \ud83d of one"], ["half \ud83d of one"]),
    ],
)
def test_each_type_is_written_in_one_way(value: object, written: object) -> None:
    assert json.loads(answers.write_json(value)) == written


def test_what_cannot_be_written_is_told() -> None:
    circle: list[object] = []
    circle.append(circle)
    deep: object = []
    for _ in range(200_000):
        deep = [deep]
    for value in (object(), {"x": [lambda: 0]}, {(1, 2): "key"}, circle, deep):
        with pytest.raises(Refused) as refused:
            answers.write_json(value)
        assert refused.value.status == 400
    with pytest.raises(Refused, match="too large"):
        answers.write_json("x" * (16 << 20))
