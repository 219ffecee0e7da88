"""Change files: bytes anywhere, or a tree of JSON into another that still is one, with values where others belong."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7, 255, 2**31, 2**53, 2**63, -(2**63) - 1, 2**64, 10**400),
    *(0.0, -0.0, 0.5, -1.5, 1e-320, 1e308, float("nan"), float("inf"), float("-inf")),
    *(
        "",
        " ",
        "0",
        "1",
        "-1",
        "1e3",
        "nan",
        "null",
        "\0",
        "\n",
        "\ud800",
        "\udfff\ud800",
        "\u202e",
        "\u2028",
        "é",
        "悲",
    ),
    *("a" * 300, "../../x", "/etc/passwd", "a/b", "//", ".", "s3://a:b@c/d", "{}", "[]", "=1+1", "%s{0}{x}", "\\", '"'),
    *([], {}, [[]], [None], [{}], {"": None}, [0, 0], ["", ""], [[[[[[]]]]]]),
)
"""Values that a reader may not have thought of."""

MARKS = (b"[", b"{", b"(", b'"', b",", b" ", b"a", b"a.", b"[[", b"{a=", b"\\", b"\n", b"<a>", b"0", b"\xff", b"\0")
"""What formats nest, quote, separate and repeat."""

DEEP = 3000
"""Brackets within each other: more than readers follow."""

_DEEP_MARK = "\ue000deep\ue000"


def changed_bytes(
    data: bytes, most_bytes: int, seed: int, words: Sequence[str], change_bytes: Callable[[bytes, int], bytes]
) -> bytes:
    """Bytes that are changed anywhere; now and then a piece comes many times, for what goes deep or takes long."""
    rng = random.Random(seed)
    if rng.random() < 0.98:
        return change_bytes(data, most_bytes)
    at = rng.randrange(len(data) + 1)
    piece = rng.choice([*MARKS, *(word.encode("utf-8", "surrogatepass") for word in words), data[at : at + 8] or b" "])
    return (data[:at] + piece * rng.choice((100, DEEP)) + data[at:])[:most_bytes]


def changed_json(
    data: bytes, most_bytes: int, seed: int, words: Sequence[str], change_bytes: Callable[[bytes, int], bytes]
) -> bytes:
    """The same tree with one to four changes; bytes that are no tree, and some that are, are changed as bytes."""
    rng = random.Random(seed)
    if rng.random() < 0.25:
        return change_bytes(data, most_bytes)
    try:
        tree: Any = json.loads(data)
    except (ValueError, RecursionError):
        return change_bytes(data, most_bytes)
    box = [tree]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        _change(box, rng, words)
    try:
        text = json.dumps(box[0], ensure_ascii=rng.random() < 0.7)
    except (ValueError, RecursionError):
        return change_bytes(data, most_bytes)
    text = text.replace(f'"{_DEEP_MARK}"', rng.choice(("[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "0" + "}" * DEEP)))
    made = text.encode("utf-8", "surrogatepass")
    return made if len(made) <= most_bytes else change_bytes(data, most_bytes)


def _odd(rng: random.Random) -> Any:
    return copy.deepcopy(rng.choice(ODD))  # else a change of one would change the list of all


def _change(box: list[Any], rng: random.Random, words: Sequence[str]) -> None:
    places = list(_places(box))
    holder, key = rng.choice(places)
    value = holder[key]
    match rng.randrange(12):
        case 0 | 1 | 2:
            holder[key] = _odd(rng)
        case 3:
            holder[key] = rng.choice(words) if words else _odd(rng)
        case 4 if holder is not box:
            del holder[key]
        case 5:
            other, place = rng.choice(places)
            holder[key] = copy.deepcopy(other[place])
        case 6:
            holder[key] = rng.choice(([value], {"": value}, [value, copy.deepcopy(value)]))
        case 7 if isinstance(holder, list) and holder is not box:
            holder.insert(key, copy.deepcopy(value))
        case 8 if isinstance(value, str):
            at = rng.randrange(len(value) + 1)
            more = rng.choice([*words, *(odd for odd in ODD if isinstance(odd, str))])
            holder[key] = value[:at] + more + value[at + rng.choice((0, 0, 1, 5)) :]
        case 9 if isinstance(value, int | float):
            holder[key] = rng.choice(
                (-value, value + 1, value * 2**40, value / 3 if abs(value) < 1e300 else 0, str(value))
            )
        case 10 if isinstance(value, dict):
            value[rng.choice([*words, "x", ""])] = _odd(rng)
        case 11 if rng.random() < 0.2:
            holder[key] = _DEEP_MARK
        case _:
            holder[key] = _odd(rng)


def _places(box: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Every place of a tree that a value stands in, with what holds it."""
    rest: list[Any] = [box]
    while rest:
        holder = rest.pop()
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        for key in keys:
            yield holder, key
            if isinstance(holder[key], dict | list):
                rest.append(holder[key])


def dictionary(words: Sequence[str]) -> str:
    """The words as libFuzzer's dictionary, for changes of bytes."""
    lines = []
    for word in words:
        data = word.encode("utf-8", "surrogatepass")[:60]
        lines.append('"' + "".join(f"\\x{byte:02x}" for byte in data) + '"\n')
    return "".join(dict.fromkeys(line for line in lines if line != '""\n'))
