"""Rules of the code itself: nothing that is read runs, nothing listens to other machines, what is fetched is pinned."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.assets import ASSETS
from pipeline.descriptions import server
from pipeline.local_server import ServerError

ROOT = Path(__file__).parents[2]
OURS = [path for folder in ("schemas", "pipeline", "flows", "environment") for path in (ROOT / folder).rglob("*.py")]
"""What users run. (tests/training/test_checkpoint.py forbids pickles in the tests too.)"""

RUNS_WHAT_IT_READS = {"eval", "exec", "compile", "torch.load", "pickle.load", "pickle.loads", "marshal.loads"} | {
    "yaml.load",
    "yaml.unsafe_load",
    "os.system",
    "os.popen",
    "joblib.load",
    "torch.jit.load",
    "torch.hub.load",
    "runpy.run_path",
}
EVERYWHERE = {"0.0.0.0", "::", "[::]", "*"}
"""Addresses at which a server would be open to other machines."""


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keywords(name: str) -> Iterator[tuple[str, ast.Call, ast.keyword]]:
    for path in OURS:
        for _, call in calls(path):
            yield from ((where(path, call), call, given) for given in call.keywords if given.arg == name)


def where(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def test_nothing_that_is_read_runs() -> None:
    found = [where(path, call) for path in OURS for name, call in calls(path) if name in RUNS_WHAT_IT_READS]
    assert found == []


def test_no_word_goes_through_a_shell() -> None:
    assert [place for place, _, given in keywords("shell") if ast.unparse(given.value) != "False"] == []


def test_nobody_trusts_code_that_comes_with_weights() -> None:
    spelled = [
        where(path, call) for path in OURS for _, call in calls(path) if "trust_remote_code" in ast.unparse(call)
    ]
    assert spelled == []
    loaders = [
        (where(path, call), {given.arg: ast.unparse(given.value) for given in call.keywords})
        for path in OURS
        for name, call in calls(path)
        if name.endswith(".from_pretrained")
    ]
    assert loaders, "the CLIP towers are read by transformers"
    for place, given in loaders:
        assert given.get("local_files_only") == "True", f"{place} might ask a hub"
    towers = [given for place, given in loaders if "use_safetensors" in given]
    assert towers and all(given["use_safetensors"] == "True" for given in towers)


@pytest.mark.parametrize(
    "argument", ["--trust-remote-code", "--trust_remote_code", "--trust", "--load-format=pt", "--host", "--config"]
)
def test_the_language_model_server_takes_no_code_and_no_pickle_from_a_model_folder(
    tmp_path: Path, argument: str
) -> None:
    settings = server.ServerSettings(tmp_path, "m", tmp_path, tmp_path / "log")
    given = server._arguments(settings, 1)
    assert given[given.index("--load-format") + 1] == "safetensors"
    assert given[given.index("--host") + 1] == "127.0.0.1"
    with pytest.raises(ServerError, match="is not passed on"):
        server._arguments(
            server.ServerSettings(tmp_path, "m", tmp_path, tmp_path / "log", more_arguments=(argument,)), 1
        )


def test_no_server_of_ours_is_told_to_listen_everywhere() -> None:
    found = [
        where(path, node)
        for path in OURS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in EVERYWHERE and not isinstance(node.value, bytes)
        if node.value != "*"
    ]
    assert found == []
    for path in OURS:
        for name, call in calls(path):
            if name.endswith((".bind", "HTTPServer", "create_server")):
                assert "HOST" in ast.unparse(call) or "127.0.0.1" in ast.unparse(call), where(path, call)
            if name.endswith(("start_http_server", "start_wsgi_server")):
                words = f"{where(path, call)}: prometheus_client listens everywhere unless it is told an address"
                assert "LOOPBACK" in ast.unparse(call), words


def test_every_file_that_is_fetched_is_pinned_by_its_hash() -> None:
    for asset in ASSETS.values():
        assert re.fullmatch("[0-9a-f]{64}", asset.sha256), asset.name
        assert re.fullmatch(r"[0-9][0-9A-Za-z.+]*", asset.version), asset.name
        assert asset.num_bytes > 0 and asset.licence
    downloads = {
        str(path.relative_to(ROOT))
        for path in OURS
        for name, _ in calls(path)
        if name.rpartition(".")[2] in {"urlopen", "urlretrieve", "hf_hub_download", "snapshot_download"}
    }
    downloads -= {"environment/hashes.py"}  # asks the index for the hashes themselves, and fetches no file
    assert downloads == set(), "what is fetched goes through pipeline/assets.py, which knows its hash"
