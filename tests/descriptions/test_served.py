"""What a server says of itself is held against what the config states, before a single row is keyed by a lie."""

from __future__ import annotations

import pytest

from pipeline.descriptions.served import ServedOtherwiseError, refuse_another_server
from tests.descriptions.fault_server import MODEL, fault_server


def test_the_stated_model_and_engine_pass() -> None:
    with fault_server() as server:
        refuse_another_server(server.address, MODEL, "vllm 0.32.0")
        refuse_another_server(server.address, MODEL, "another engine 7")


def test_another_model_is_refused_with_the_one_that_is_served() -> None:
    with fault_server() as server, pytest.raises(ServedOtherwiseError, match=f"serves {MODEL}, expected Qwen3-8B"):
        refuse_another_server(server.address, "Qwen3-8B", "vllm 0.32.0")


def test_another_version_of_the_engine_is_refused_with_what_to_set() -> None:
    with fault_server() as server, pytest.raises(ServedOtherwiseError, match=r'engine = "vllm 0\.32\.0"'):
        refuse_another_server(server.address, MODEL, "vllm 0.31.1")


def test_each_of_several_addresses_is_asked_and_one_that_is_away_is_let_pass() -> None:
    with fault_server() as server:
        refuse_another_server(f"http://127.0.0.1:9/v1,{server.address}", MODEL, "vllm 0.32.0")
        with pytest.raises(ServedOtherwiseError):
            refuse_another_server(f"http://127.0.0.1:9/v1,{server.address}", "another", "vllm 0.32.0")
