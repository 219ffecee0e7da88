"""Hold what a config states of a language-model server against what the server says of itself, before it is asked."""

from __future__ import annotations

from pipeline.descriptions.ask import ServerUnavailable, addresses_of, engine_version, list_models


class ServedOtherwiseError(ValueError):
    """A server serves another model or runs another engine than the config states: its rows would lie."""


def refuse_another_server(server: str, model: str, engine: str, *, api_key: str | None = None) -> None:
    """Raise if one of the addresses in `server` is of another model or another version of vLLM than is stated.

    A server that does not answer, or does not say, is let pass: asking it will show.

    Raises:
        ServedOtherwiseError: says which address, what it serves, what is stated, and what to change.
    """
    for address in addresses_of(server):
        try:
            models, version = list_models(address, api_key=api_key), engine_version(address, api_key=api_key)
        except ServerUnavailable:
            continue
        if model not in models:
            raise ServedOtherwiseError(
                f"the server at {address} serves {', '.join(models) or 'no model'}, expected {model}: "
                "name the model with --model or in [descriptions] model"
            )
        if version and engine.startswith("vllm ") and engine != f"vllm {version}":
            raise ServedOtherwiseError(
                f"the server at {address} runs vllm {version}, the config states {engine}: "
                f'every row is keyed by it, so set [descriptions] engine = "vllm {version}"'
            )
