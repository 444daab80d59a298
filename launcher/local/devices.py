"""The accelerators of this machine, each of them at most one replica's.

They are found once, at the launcher's start, by NVIDIA's own program
(https://docs.nvidia.com/deploy/nvidia-smi/). A process sees those that are its own alone
(CUDA_VISIBLE_DEVICES: https://docs.nvidia.com/cuda/cuda-c-programming-guide/). Used by `group.py`.
"""

import logging
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.adapters.shared.byte_counts import in_words
from modelplane.adapters.shared.telemetry import log_fields

_log = logging.getLogger(__name__)

_COMMAND = ("nvidia-smi", "--query-gpu=uuid,name,memory.total", "--format=csv,noheader,nounits")
_SECONDS = 20.0
_MIB = 1 << 20
_FIELDS = 3
VISIBLE = "CUDA_VISIBLE_DEVICES"
_PROCESSORS = Path("/proc/cpuinfo")
_MODEL_NAME = re.compile(r"^model name\s*:(.*)$", re.MULTILINE)
_LONGEST_NAME = 128


def read_processor() -> str:
    """Return what the machine's processors are, as Linux names them; empty: it does not say."""
    try:
        text = _PROCESSORS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = _MODEL_NAME.search(text)
    return found[1].strip()[:_LONGEST_NAME] if found else platform.machine()


class NoDevices(Exception):
    """There are too few accelerators; the text says what there is, for the group's owner.

    Attributes:
        is_soon_there: Whether there are enough, which others have now.
    """

    def __init__(self, message: str, *, is_soon_there: bool) -> None:
        super().__init__(message)
        self.is_soon_there = is_soon_there


@dataclass(frozen=True, slots=True)
class Device:
    """An accelerator.

    Attributes:
        id: How CUDA names it.
        name: What it is, for example `Tesla T4`.
        memory: Bytes of its own.
    """

    id: str
    name: str
    memory: int

    def fits(self, size: pb.ReplicaSize) -> bool:
        """Return whether it is one that a replica needs."""
        is_type = size.gpu_type.lower() in self.name.lower()
        return is_type and self.memory >= size.gpu_memory_bytes


class Devices:
    """The accelerators, and which of them are taken.

    Args:
        devices: All of them.
    """

    def __init__(self, devices: Sequence[Device] = ()) -> None:
        self.all = tuple(devices)
        self._free = list(devices)

    def take(self, size: pb.ReplicaSize) -> list[Device]:
        """Return as many as a replica needs, for as long as it runs.

        Raises:
            NoDevices: As many are not free.
        """
        fitting = [device for device in self._free if device.fits(size)]
        if len(fitting) < size.gpus:
            known = sum(device.fits(size) for device in self.all)
            raise NoDevices(
                f"a replica needs {_needed(size)}, and of those here ({describe(self.all)}) "
                f"{len(fitting)} that fit are free",
                is_soon_there=known >= size.gpus,
            )
        # The least that will do: larger ones stay for those that need them.
        fitting.sort(key=lambda device: device.memory)
        taken = fitting[: size.gpus]
        for device in taken:
            self._free.remove(device)
        return taken

    def release(self, devices: Sequence[Device]) -> None:
        """Take back what a replica has had, once it has ended."""
        self._free.extend(devices)

    def report(self) -> list[pb.Device]:
        """Return what the control plane is told of them."""
        return [pb.Device(name=device.name, memory_bytes=device.memory) for device in self.all]


def variables(devices: Sequence[Device]) -> dict[str, str]:
    """Return the variables by which a process sees these accelerators, and no others."""
    return {VISIBLE: ",".join(device.id for device in devices)}


def describe(devices: Sequence[Device]) -> str:
    """Return in words what there is."""
    named = [f"{device.name} with {in_words(device.memory)}" for device in devices]
    counted = [f"{named.count(name)} {name}" for name in dict.fromkeys(named)]
    return ", ".join(counted) or "none"


def find_devices(command: Sequence[str] = _COMMAND) -> list[Device]:
    """Return the accelerators of this machine; none where their driver is not installed.

    Args:
        command: Prints a line for each: how CUDA names it, what it is, and its memory in MiB.
    """
    try:
        said = subprocess.run(  # noqa: S603 - a program of the driver's
            command, capture_output=True, text=True, timeout=_SECONDS, check=True
        ).stdout
    except FileNotFoundError:
        return []
    except (OSError, subprocess.SubprocessError) as error:
        told = log_fields(reason=str(error))
        _log.warning("the accelerators of this machine cannot be listed", extra=told)
        return []
    found = []
    for line in filter(None, map(str.strip, said.splitlines())):
        fields = [field.strip() for field in line.split(",")]
        # In the place of a number it may say that there is none, for a part of a device.
        if len(fields) != _FIELDS or not fields[2].isdecimal():
            _log.warning("an accelerator is left out", extra=log_fields(said=line[:200]))
            continue
        found.append(Device(fields[0], fields[1], int(fields[2]) * _MIB))
    return found


def visible(devices: Sequence[Device], said: str | None) -> list[Device]:
    """Return those accelerators that this process may use: those that a Ray job has, for example.

    Args:
        devices: Those of the machine, in the driver's order.
        said: The value of `CUDA_VISIBLE_DEVICES`, numbers or names; None: it is not set.
    """
    if said is None:
        return list(devices)
    found: list[Device] = []
    for word in map(str.strip, said.split(",")):
        fitting = [
            device
            for number, device in enumerate(devices)
            if word and (word == str(number) or device.id.startswith(word))
        ]
        if not fitting:
            # What comes after one that there is not is not seen, either.
            break
        found += (device for device in fitting[:1] if device not in found)
    return found


def _needed(size: pb.ReplicaSize) -> str:
    kind = f" {size.gpu_type}" if size.gpu_type else ""
    memory = f" with {in_words(size.gpu_memory_bytes)} each" if size.gpu_memory_bytes else ""
    return f"{size.gpus}{kind} GPUs{memory}"
