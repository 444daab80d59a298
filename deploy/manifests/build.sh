#!/bin/sh
# Makes what the image holds: an environment with the locked packages and modelplane, nothing to build
# or to install with, and a list of all that is in it. The Dockerfile runs it, and so can you.
#
#   build.sh SOURCE TARGET [PYTHON]
set -eu
source=$1 target=$2 python=${3:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
locked="--quiet --no-cache-dir --no-deps --require-hashes --only-binary :all:"

# What builds the wheel stays behind.
"$python" -m venv "$work/build"
"$work/build/bin/pip" install $locked -r "$source/requirements.lock"
cp -rL "$source/src" "$source/protos" "$source/pyproject.toml" "$source/README.md" "$work"
(cd "$work" && build/bin/pip wheel --quiet --no-cache-dir --no-index --no-deps --no-build-isolation --wheel-dir wheel .)

"$python" -m venv --without-pip "$target"
into="$work/build/bin/pip --python $target/bin/python"
$into install $locked -r "$source/deploy/manifests/image.txt"
$into install --quiet --no-cache-dir --no-index --no-deps "$work"/wheel/*.whl
# Tests and examples of packages, which nothing imports.
find "$target" -depth -type d \( -name tests -o -name test \) -path '*/site-packages/*' -exec rm -rf {} +
"$target/bin/python" "$source/deploy/manifests/sbom.py" > "$target/sbom.json"
