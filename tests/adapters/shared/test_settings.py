"""Settings: the flag before the variable before the default, and a reason where one is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import pytest

from modelplane.adapters.shared.settings import load, read_environment, setting


class Color(StrEnum):
    RED = "red"
    BLUE = "blue"


def halve(text: str) -> int:
    if int(text) % 2:
        raise ValueError(f"{text} is odd")
    return int(text) // 2


@dataclass(frozen=True)
class Settings:
    """Does something.

    More of it.
    """

    name: str = setting("x", "a name")
    count: int = setting(1, "how many", alias="-c")
    share: float = setting(0.5, "which part", variable=False)
    half: int = setting(0, "half of it", parse=halve)
    color: Color = setting(Color.RED, "which color")
    loud: bool = setting(False, "whether to shout")  # noqa: FBT003 - like field()
    key: str = setting("", "a key", secret=True)
    own: str = "not a setting"

    def __post_init__(self) -> None:
        if self.count > 9:
            raise ValueError("--count must be below 10")


def of(*argv: str, **environ: str) -> Settings:
    return load(
        Settings, "program", argv, {f"MODELPLANE_{name}": environ[name] for name in environ}
    )


def test_a_password_is_no_flag(capsys: pytest.CaptureFixture[str]) -> None:
    url = "postgresql://me:p%40ss@db:5432/x"
    assert of(NAME=url).name == url
    assert of("--name", "postgresql://me@db/x").name == "postgresql://me@db/x"
    with pytest.raises(SystemExit):
        of("--name", url)
    told = capsys.readouterr().err
    assert "set MODELPLANE_NAME instead" in told
    assert "p%40ss" not in told


def test_the_flag_wins_over_the_variable_and_that_over_the_default() -> None:
    assert of() == Settings()
    assert of(NAME="v", COUNT="2", HALF="8", COLOR="blue") == Settings(
        "v", 2, half=4, color=Color.BLUE
    )
    assert of("--count", "3", COUNT="2").count == 3
    assert of("-c", "4").count == 4
    assert of("--half", "6").half == 3
    assert isinstance(of("--color", "blue").color, Color)


def test_what_is_no_variable_is_not_read_from_one() -> None:
    assert of(SHARE="0.1", LOUD="1", OWN="x") == Settings()
    assert of("--share", "0.1", "--loud") == Settings(share=0.1, loud=True)


def test_a_secret_is_no_flag_and_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    settings = of(KEY="hidden")
    assert settings.key == "hidden"
    assert "hidden" not in repr(settings)
    with pytest.raises(SystemExit):
        of("--key", "hidden")
    with pytest.raises(SystemExit):
        of("--help")
    assert "--key " not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "environ", "reason"),
    [
        (["--count", "x"], {}, "'x' is not a whole number"),
        (["--share", "x"], {}, "'x' is not a number"),
        (["--half", "3"], {}, "3 is odd"),
        (["--color", "green"], {}, "'green' is none of red, blue"),
        (["--count", "10"], {}, "--count must be below 10"),
        ([], {"COUNT": "x"}, "MODELPLANE_COUNT: 'x' is not a whole number"),
        ([], {"HALF": "3"}, "MODELPLANE_HALF: 3 is odd"),
        ([], {"COLOR": ""}, "MODELPLANE_COLOR: '' is none of red, blue"),
        (["--count", "1"], {"COUNT": "x"}, "MODELPLANE_COUNT: 'x' is not a whole number"),
    ],
)
def test_a_wrong_value_is_told(
    argv: Sequence[str],
    environ: dict[str, str],
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        of(*argv, **environ)
    assert caught.value.code == 2
    assert reason in capsys.readouterr().err.splitlines()[-1]


def test_the_environment_is_read_without_flags() -> None:
    environ = {"MODELPLANE_NAME": "v", "MODELPLANE_COUNT": "2", "OTHER": "x"}
    assert read_environment(Settings, environ) == {"name": "v", "count": 2}
    with pytest.raises(ValueError, match="MODELPLANE_COUNT: 'x' is not a whole number"):
        read_environment(Settings, {"MODELPLANE_COUNT": "x"})


def test_the_help_tells_variables_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        of("--help")
    told = " ".join(capsys.readouterr().out.split())
    assert "Does something." in told
    assert "More of it." not in told
    assert "how many [MODELPLANE_COUNT, default: 1]" in told
    assert "which part [default: 0.5]" in told
    assert "whether to shout" in told
