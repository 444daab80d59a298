"""What models ask for, as MLflow writes it and as people do."""

from pathlib import Path

import pytest

from modelplane.launcher.environments.failures import EnvironmentFailed
from modelplane.launcher.environments.requirements import Requested, read_requested
from tests.launcher.environments.packages import write_model

PYTHON_ENV = "python: 3.10.4\nbuild_dependencies: [pip]\ndependencies:\n- -r requirements.txt\n"
CONDA = """
channels: [conda-forge]
dependencies:
- python=3.9.1
- pip<=23
- conda-forge::gdal=3.4
- pip:
  - mlflow==2.22.0
  - pandas
"""


def _read(tmp_path: Path, **files: str) -> Requested:
    named = {name.replace("_dot_", "."): text for name, text in files.items()}
    return read_requested(write_model(tmp_path / "model", named))


def test_python_env_with_requirements(tmp_path: Path) -> None:
    requested = _read(
        tmp_path,
        python_env_dot_yaml=PYTHON_ENV,
        requirements_dot_txt="Pandas==2.0\nmlflow==2.22.0 \n# no more\n",
        conda_dot_yaml=CONDA,
    )
    assert requested.python == "3.10"
    assert requested.packages == ["mlflow==2.22.0", "Pandas==2.0"]
    assert not requested.notes


def test_of_conda_only_what_pip_can_install(tmp_path: Path) -> None:
    requested = _read(tmp_path, conda_dot_yaml=CONDA)
    assert requested.python == "3.9"
    assert requested.packages == ["mlflow==2.22.0", "pandas"]
    assert requested.notes == [
        (
            "Packages of conda are not installed, only those of pip: the model goes without "
            "conda-forge::gdal=3.4."
        )
    ]


def test_constraints_are_no_packages(tmp_path: Path) -> None:
    requested = _read(
        tmp_path,
        requirements_dot_txt="mlflow\n-c constraints.txt\n--extra-index-url file:///somewhere\n",
        constraints_dot_txt="numpy<3\n",
    )
    assert requested.packages == ["--extra-index-url file:///somewhere", "mlflow"]
    assert requested.constraints == ["numpy<3"]
    other = _read(
        tmp_path,
        requirements_dot_txt="mlflow\n-c constraints.txt\n",
        constraints_dot_txt="numpy<2\n",
    )
    assert other.digest != requested.digest


def test_order_and_comments_make_no_difference(tmp_path: Path) -> None:
    one = _read(tmp_path, requirements_dot_txt="mlflow==2.0\nscipy\n")
    two = _read(tmp_path, requirements_dot_txt="scipy # for science\n\nmlflow==2.0\nmlflow==2.0\n")
    assert one.digest == two.digest


def test_the_small_mlflow_is_enough_beside_what_it_needs(tmp_path: Path) -> None:
    small = "mlflow-skinny==3.1\nnumpy\npandas==2.0"
    requested = _read(tmp_path, requirements_dot_txt=small)
    assert requested.packages == small.splitlines()
    assert not requested.notes


def test_a_line_is_the_same_with_and_without_its_hashes_beside(tmp_path: Path) -> None:
    locked = "mlflow==3.1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
    requested = _read(tmp_path, requirements_dot_txt=locked)
    assert requested.packages == ["mlflow==3.1 --hash=sha256:aa --hash=sha256:bb"]
    twice = _read(tmp_path, requirements_dot_txt=f"mlflow==3.1\n{locked}")
    assert twice.digest == requested.digest


@pytest.mark.parametrize(
    ("requirements", "reason"),
    [
        ("-e .", "wheel"),
        ("mlflow\n-r ../other.txt", "not a file of the model"),
        ("mlflow\ncode/missing.whl", "did not come with the model"),
        ("/etc/own.whl", "not a file of the model"),
        ("-r requirements.txt", "without end"),
        ("x" * (2 << 20), "too large"),
    ],
)
def test_what_cannot_be_had_is_told(tmp_path: Path, requirements: str, reason: str) -> None:
    with pytest.raises(EnvironmentFailed, match=reason):
        _read(tmp_path, requirements_dot_txt=requirements)


def test_a_model_that_says_nothing(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="pip_requirements"):
        _read(tmp_path)


def test_yaml_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match=r"python_env\.yaml is not valid YAML"):
        _read(tmp_path, python_env_dot_yaml="{", requirements_dot_txt="mlflow")


def test_what_aliases_repeat_is_not_written_out(tmp_path: Path) -> None:
    """Ten times ten times … of it: more than any memory."""
    repeated = "".join(f"b{n}: &b{n} [{', '.join([f'*b{n - 1}'] * 10)}]\n" for n in range(1, 10))
    bomb = f"b0: &b0 [1, 2, 3]\n{repeated}"
    requested = _read(
        tmp_path / "a",
        python_env_dot_yaml=f"{bomb}python: *b9\ndependencies: [mlflow, *b9, {{pip: *b9}}]\n",
    )
    assert requested.packages == ["mlflow"]
    assert not requested.python
    requested = _read(
        tmp_path / "b",
        conda_dot_yaml=f"{bomb}dependencies: [*b9, python=3.11, pip: [mlflow, *b9]]\n",
    )
    assert (requested.python, requested.packages) == ("3.11", ["mlflow"])


def test_a_number_that_takes_minutes_is_not_made(tmp_path: Path) -> None:
    assert not _read(tmp_path, python_env_dot_yaml="python: 1" + ":1" * 300_000).python


def test_what_is_too_deep_is_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="is not valid YAML"):
        _read(tmp_path, python_env_dot_yaml="python: " + "[" * 500_000)


def test_a_python_that_reads_as_a_number(tmp_path: Path) -> None:
    assert _read(tmp_path, python_env_dot_yaml="python: 3.10\n").python == "3.10"
