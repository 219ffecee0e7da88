"""What numbers mean where: the published numbers of clips come out under the right order, and under no other."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.videos.datasets import afew, dfew, ferv39k, mafw
from pipeline.videos.label_names import (
    DFEW_LABELS,
    LABEL_ORDERS,
    MAFW_LABELS,
    compound_name,
    label_name,
    label_order,
    misplaced,
    orders_that_fit,
)

PUBLISHED: Mapping[str, Mapping[str, int]] = {
    "dfew": dfew.PUBLISHED["dfew", "1", "train"],
    "ferv39k": ferv39k.PUBLISHED["ferv39k", "1", "train"],
    "mafw": mafw.PUBLISHED["mafw-single", "1", "train"],
    "afew": afew.PUBLISHED["afew", "1", "train"],
}

# Clips by number, as they stand in the lists in circulation.
GOLDEN = [
    ("dfew", {"1": 1956, "2": 1515, "3": 2135, "4": 1738, "5": 1175, "6": 116, "7": 721}, {"official"}),
    ("dfew", {"0": 1956, "1": 1515, "2": 2135, "3": 1738, "4": 1175, "5": 116, "6": 721}, {"dfer-clip", "mae-dfer"}),
    (
        "ferv39k",
        {"0": 5854, "1": 5523, "2": 7790, "3": 5906, "4": 2502, "5": 1833, "6": 1680},
        {"dfer-clip", "mae-dfer"},
    ),
    ("ferv39k", {"0": 5906, "1": 1833, "2": 1680, "3": 5854, "4": 7790, "5": 5523, "6": 2502}, {"s2d"}),
    (
        "mafw",
        dict(zip(map(str, range(11)), (1112, 511, 500, 993, 910, 1176, 857, 188, 732, 209, 145), strict=True)),
        {"mae-dfer"},
    ),
    (
        "mafw",  # 7,332: the list of DFER-CLIP lacks a clip
        dict(zip(map(str, range(11)), (993, 1176, 910, 1111, 857, 511, 500, 188, 732, 209, 145), strict=True)),
        {"dfer-clip"},
    ),
    (
        "mafw",
        dict(zip(map(str, range(11)), (1112, 732, 188, 145, 511, 500, 993, 209, 910, 1176, 857), strict=True)),
        {"s2d"},
    ),
    ("afew", {"0": 150, "1": 117, "2": 142, "3": 135, "4": 74, "5": 74, "6": 81}, {"former-dfer"}),
]


@pytest.mark.parametrize(("dataset", "numbers", "names"), GOLDEN)
def test_an_order_is_told_by_published_numbers_of_clips(
    dataset: str, numbers: Mapping[str, int], names: set[str]
) -> None:
    assert {order.name for order in orders_that_fit(dataset, numbers, PUBLISHED[dataset])} == names


def test_a_wrong_order_misplaces_a_share_of_the_clips() -> None:
    numbers = dict(GOLDEN[3][1])
    assert misplaced(label_order("ferv39k", "s2d"), numbers, PUBLISHED["ferv39k"]) == 0
    assert misplaced(label_order("ferv39k", "dfer-clip"), numbers, PUBLISHED["ferv39k"]) > 0.1


def test_half_a_list_fits_no_order() -> None:
    half = {number: count // 2 for number, count in GOLDEN[3][1].items()}
    assert orders_that_fit("ferv39k", half, PUBLISHED["ferv39k"]) == []
    assert orders_that_fit("ferv39k", {}, PUBLISHED["ferv39k"]) == []


def test_the_number_of_happiness_differs_by_source() -> None:
    numbers = {(order.dataset, order.name): order.labels.index("happiness") + order.first for order in LABEL_ORDERS}
    assert numbers["dfew", "official"] == 1 and numbers["dfew", "mae-dfer"] == 0
    assert numbers["mafw", "mae-dfer"] == 3 and numbers["mafw", "dfer-clip"] == 0 and numbers["mafw", "s2d"] == 6


@pytest.mark.parametrize("order", LABEL_ORDERS, ids=lambda order: f"{order.dataset} {order.name}")
def test_each_order_holds_each_label_of_its_set_once(order: object) -> None:
    assert sorted(order.labels) == sorted(MAFW_LABELS if order.dataset == "mafw" else DFEW_LABELS)  # type: ignore[attr-defined]


def test_an_order_that_is_not_known_is_refused_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="no order of labels 'emoclip' for dfew; known: official, dfer-clip, mae-dfer"):
        label_order("dfew", "emoclip")


@given(st.text(max_size=6))
def test_no_text_but_a_number_of_the_order_is_a_label(text: str) -> None:
    label = label_order("dfew", "official").label(text)
    assert (label is not None) == (text.isascii() and text.isdigit() and 1 <= int(text) <= 7 and len(text) < 4)


@given(st.lists(st.sampled_from(MAFW_LABELS), min_size=1, max_size=4, unique=True), st.randoms())
def test_a_compound_label_is_the_same_in_any_order(parts: list[str], random: object) -> None:
    name = compound_name("_".join(parts), MAFW_LABELS)
    assert name is not None and sorted(name.split("_")) == sorted(parts)
    assert compound_name("_".join(reversed(parts)), MAFW_LABELS) == name
    assert compound_name(name.upper(), MAFW_LABELS) == name


@pytest.mark.parametrize("words", ["anger_anger", "anger_", "anger_joyful", "", "anger disgust"])
def test_what_is_no_compound_label_is_none(words: str) -> None:
    assert compound_name(words, MAFW_LABELS) is None


def test_names_of_sources_are_ours_or_stay() -> None:
    assert [label_name(word) for word in (" Happy", "ANGRY", "boredom")] == ["happiness", "anger", "boredom"]
