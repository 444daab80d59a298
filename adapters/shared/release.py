"""Which release this is: what the package's metadata says."""

from importlib.metadata import version

VERSION = version("modelplane")
