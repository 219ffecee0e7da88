"""Write the path of a file as text that can be stored and printed, and find the file again by it."""

from __future__ import annotations

import os
import re
from pathlib import Path

_NOT_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]")

ESCAPED = re.compile(r"\\x[0-9A-F]{2}")
"""What `path_text` wrote in place of a byte."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://(?!/)")

STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "hf", "oss", "oci", "hdfs", "http", "https", "ftp")
"""Kinds of address that may stand in a manifest: what fsspec knows besides reads this machine, or runs archives and
other addresses through one another."""

_MACHINES_OWN = re.compile(r"169\.254\.|\[?(?:fe80:|fd00:ec2:)|metadata\.", re.IGNORECASE)
"""Hosts at which a cloud tells a machine its own credentials."""

LEADS_OUT = "a link that leads out of the source"
"""The `read_error` of such a link: whoever packed a folder must not choose what else of this machine is described."""

_SECRET = re.compile(
    r"[?&](x-amz-signature|x-goog-signature|signature|sig|token|access_token|secret_key)=", re.IGNORECASE
)


def path_text(name: str) -> str:
    r"""A path as it is stored and printed: bytes that are no UTF-8, control characters and backslashes become `\xNN`.

    Thus every name is text that harms no terminal, and `path_of` finds the file again.
    """
    return _NOT_TEXT.sub(lambda found: "".join(f"\\x{byte:02X}" for byte in os.fsencode(found[0])), name)


def name_of(text: str) -> str:
    """What `path_text` did, undone."""
    name = re.sub(rb"\\x([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), text.encode())
    return os.fsdecode(name)


def path_of(folder: Path, text: str) -> Path:
    """The file below `folder` whose stored path is `text`; of an object's address, the copy on this machine.

    Raises:
        OSError: the object is not here, and cannot be fetched.
    """
    name = name_of(text)
    if is_address(name):
        from pipeline.videos.object_files import local_copy  # knows how objects are fetched: not for every import

        return local_copy(name)
    return folder / name


def is_address(text: str) -> bool:
    """Whether a path is the address of an object in a store, such as `s3://bucket/clip.mp4`."""
    return _ADDRESS.match(text) is not None


def leads_out(folder: Path, path: str | Path) -> bool:
    """Whether a path, with all symbolic links in it followed, ends outside of `folder`."""
    inside = os.path.realpath(folder)
    return os.path.commonpath([inside, os.path.realpath(path)]) != inside


def refuse_strange_store(address: str) -> str | None:
    """What is wrong with an address that no store of videos has: a manifest may be somebody else's."""
    scheme, rest = address.split("://", 1)
    if scheme.lower() not in STORES:
        return f"is of no store that is known: {', '.join(STORES)}"
    if scheme.lower() in ("http", "https", "ftp") and _MACHINES_OWN.match(rest.rsplit("@", 1)[-1]):
        return "is where a machine is told its own credentials"
    return None


def refuse_secrets(address: str) -> str | None:
    """What is wrong with an address that holds a key: addresses are stored in the corpus and shown."""
    if "@" in address.split("://", 1)[1].split("/", 1)[0]:
        return "holds a user or a key: give it in the environment, as the store says it, and leave it out here"
    if _SECRET.search(address):
        return "is signed: it expires, and is a secret until then; give the plain address, and keys in the environment"
    return None
