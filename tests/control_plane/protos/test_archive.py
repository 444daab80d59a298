"""The archive of the protos needs nothing else to be compiled."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from modelplane.adapters.shared.rpc.services import PUBLIC_SERVICES
from modelplane.control_plane.protos.archive import build_archive


def test_it_compiles_and_has_every_public_service(tmp_path: Path) -> None:
    archive = build_archive()
    # A release and each deployment of it hand out the same bytes.
    assert archive == build_archive()
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        names = opened.namelist()
        opened.extractall(tmp_path)
    ours = [name for name in names if name.startswith("modelserving/v1/")]
    found = tmp_path / "all.binpb"
    # Every compiler brings protobuf's own.
    options = (f"--proto_path={tmp_path}", f"--descriptor_set_out={found}", "--include_imports")
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", *options, *ours], check=True, timeout=60
    )
    files = FileDescriptorSet.FromString(found.read_bytes()).file
    services = {f"{file.package}.{one.name}" for file in files for one in file.service}
    assert services == {service.full_name for service in PUBLIC_SERVICES}
    missing = {file.name for file in files} - set(names)
    assert all(name.startswith("google/protobuf/") for name in missing)
