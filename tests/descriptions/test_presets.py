"""The build files in docs/presets: each loads as it stands, and vLLM takes the commands in its comment."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from pipeline.descriptions.duplicates import MAX_SHARE
from pipeline.descriptions.prompt import read_prompt
from pipeline.walk import load_build_file

FOLDER = Path(__file__).parents[2] / "docs" / "presets"
PRESETS = sorted(FOLDER.glob("*.toml"))
OWN_SERVER = [path for path in PRESETS if path.stem != "embedded"]
SELF_SERVED = [path for path in OWN_SERVER if path.stem != "remote"]


def serve_commands(path: Path) -> list[list[str]]:
    """The arguments after `vllm serve` of each command in the file's comment."""
    comment = "\n".join(line.removeprefix("#") for line in path.read_text().splitlines() if line.startswith("#"))
    joined = comment.replace("\\\n", " ")
    return [shlex.split(found) for found in re.findall(r"^.*vllm serve (\S.*--\S.*)$", joined, re.MULTILINE)]


def test_there_is_a_preset_for_each_use() -> None:
    assert {path.stem for path in PRESETS} == {
        "embedded",
        "remote",
        "several_gpus",
        "text_8b_one_gpu",
        "text_and_vision_one_gpu",
    }


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_it_loads_and_begins_with_a_comment(path: Path) -> None:
    assert path.read_text().startswith("# ")
    build = load_build_file(path).build
    assert read_prompt(build.descriptions.prompt).again  # an answer that fails can be sent back
    assert build.descriptions.label == "never"


@pytest.mark.parametrize("path", OWN_SERVER, ids=lambda path: path.stem)
def test_a_server_of_ones_own_is_named_with_its_model_and_asked_for_claims(path: Path) -> None:
    settings = load_build_file(path)
    descriptions = settings.build.descriptions
    assert settings.resources.server
    assert descriptions.max_claims
    assert {"model", "model_revision", "model_licence", "engine", "prompt"} <= descriptions.model_fields_set
    assert "{evidence}" in read_prompt(descriptions.prompt).user


def test_the_embedded_one_is_the_defaults_spelled_out() -> None:
    path = FOLDER / "embedded.toml"
    assert load_build_file(path) == load_build_file(None)
    sections, defaults = tomllib.loads(path.read_text()), load_build_file(None)
    configs: dict[str, BaseModel] = {
        "drafts": defaults.build.drafts,
        "descriptions": defaults.build.descriptions,
        "resources": defaults.resources,
    }
    for name, config in configs.items():
        can_be_written = {key for key, value in config if value is not None and key not in {"source", "answers", "run"}}
        assert set(sections[name]) == can_be_written, name
    assert f"max_duplicate_share is {MAX_SHARE} " in path.read_text()


def test_several_servers_are_several() -> None:
    from pipeline.descriptions.ask import AskSettings

    resources = load_build_file(FOLDER / "several_gpus.toml").resources
    assert len(AskSettings.of(resources).addresses) == 2


def test_the_remote_one_takes_its_key_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.descriptions.ask import AskSettings

    resources = load_build_file(FOLDER / "remote.toml").resources
    monkeypatch.delenv("FACESCRIBE_SERVER_KEY", raising=False)
    with pytest.raises(ValueError, match="FACESCRIBE_SERVER_KEY is not set"):
        AskSettings.of(resources)
    monkeypatch.setenv("FACESCRIBE_SERVER_KEY", "abc")
    assert AskSettings.of(resources).api_key == "abc"


def test_the_vision_server_allows_as_many_images_as_are_sent() -> None:
    path = FOLDER / "text_and_vision_one_gpu.toml"
    vision = load_build_file(path).build.drafts.vision
    assert vision is not None
    (limit,) = re.findall(r'"image": (\d+)', path.read_text())
    assert int(limit) >= vision.max_frames
    shares = [float(share) for share in re.findall(r"--gpu-memory-utilization (\S+)", path.read_text())]
    assert len(shares) == 2
    assert sum(shares) <= 0.9


@pytest.mark.parametrize("path", SELF_SERVED, ids=lambda path: path.stem)
def test_the_served_names_are_those_that_are_asked_for(path: Path) -> None:
    build = load_build_file(path).build
    served = {command[command.index("--served-model-name") + 1] for command in serve_commands(path)}
    asked = {build.descriptions.model} | ({build.drafts.vision.model} if build.drafts.vision else set())
    assert asked <= served


@pytest.mark.slow
def test_vllm_takes_every_command() -> None:
    commands = [command for path in PRESETS for command in serve_commands(path)]
    assert len(commands) == 5
    program = (
        "import json, sys\n"
        "from vllm.entrypoints.launchers.cli_args import make_arg_parser\n"
        "from vllm.utils.argparse_utils import FlexibleArgumentParser\n"
        "parser = make_arg_parser(FlexibleArgumentParser())\n"
        "for command in json.load(sys.stdin):\n"
        "    parser.parse_args(command)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], input=json.dumps(commands), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
