"""Gather what the annotation files of a set say of each clip, and tell where they contradict each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from natsort import natsorted

from pipeline.videos.datasets.listing import Caption, DatasetClip, Fault, FoldPart


@dataclass
class _Notes:
    label: str | None = None
    label_where: str = ""
    is_disputed: bool = False
    parts: dict[tuple[str, str], FoldPart] = field(default_factory=dict)
    """By protocol and fold."""
    part_where: dict[tuple[str, str], str] = field(default_factory=dict)
    votes: Mapping[str, float] | None = None
    captions: dict[str, str] = field(default_factory=dict)
    told_of: set[str] = field(default_factory=set)
    """Languages whose differing captions were told of."""
    num_frames: int | None = None


class ClipNotes:
    """What is said of clips, by their names. Where two lines disagree of a clip's label, it has none: nothing is
    chosen for the user. A clip that is in train and in test of a fold stays in test alone, so that no test leaks."""

    def __init__(self, faults: list[Fault]) -> None:
        """Faults that are found go to the end of `faults`."""
        self._faults = faults
        self._notes: dict[str, _Notes] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._notes

    @property
    def names(self) -> list[str]:
        """Every clip that was spoken of, in natural order."""
        return natsorted(self._notes)

    def label_of(self, name: str) -> str | None:
        """The label, as far as it was said and not disputed."""
        notes = self._notes.get(name)
        return notes.label if notes and not notes.is_disputed else None

    def is_in_a_fold(self, name: str) -> bool:
        """Whether a list of a protocol names the clip."""
        return name in self._notes and bool(self._notes[name].parts)

    def has_protocol(self, protocol: str) -> bool:
        """Whether some clip is in a fold of a protocol."""
        return any(key[0] == protocol for notes in self._notes.values() for key in notes.parts)

    def part_of(self, name: str, protocol: str, fold: str) -> FoldPart | None:
        """What a fold of a protocol says of a clip, if it names the clip."""
        return self._notes[name].parts.get((protocol, fold)) if name in self._notes else None

    def languages_of(self, name: str) -> set[str]:
        """In which languages a clip has captions."""
        return set(self._notes[name].captions) if name in self._notes else set()

    def parts_of(self, protocol: str, fold: str) -> dict[str, str]:
        """The part of each clip that a fold of a protocol names, by the clip's name."""
        key = (protocol, fold)
        return {name: notes.parts[key].part for name, notes in self._notes.items() if key in notes.parts}

    def name(self, name: str) -> None:
        """That a clip of this name is to be there, and no more."""
        self._notes.setdefault(name, _Notes())

    def label(self, name: str, label: str, where: str) -> None:
        """That a clip has a label, by our name."""
        notes = self._notes.setdefault(name, _Notes())
        if notes.label is None:
            notes.label, notes.label_where = label, where
        elif notes.label != label and not notes.is_disputed:
            notes.is_disputed = True
            detail = f"{label} here, {notes.label} in {notes.label_where}: the clip is left without a label"
            self._faults.append(Fault("label_conflict", where, f"clip {name}: {detail}"))

    def no_label(self, name: str, where: str) -> None:
        """That annotators agreed on no single label. To be said after the labels."""
        notes = self._notes.setdefault(name, _Notes())
        if notes.label is not None and not notes.is_disputed:
            notes.is_disputed = True
            detail = f"no single label here, {notes.label} in {notes.label_where}: the clip is left without a label"
            self._faults.append(Fault("label_conflict", where, f"clip {name}: {detail}"))

    def part(self, name: str, part: FoldPart, where: str) -> None:
        """That a clip is of a part in a fold."""
        notes = self._notes.setdefault(name, _Notes())
        key = (part.protocol, part.fold)
        first = notes.parts.get(key)
        if first is None:
            notes.parts[key], notes.part_where[key] = part, where
            return
        there = notes.part_where[key]
        if first.part == part.part:
            if first.label == part.label:
                self._faults.append(Fault("named_twice", where, f"clip {name} is also in {there}"))
            else:
                detail = f"{part.label} here, {first.label} in {there}: the clip has no label of its own there"
                self._faults.append(Fault("label_conflict", where, f"clip {name}: {detail}"))
                notes.parts[key] = replace(first, label=None)
            return
        detail = f"{part.part} here, {first.part} in {there}: it is kept in test alone"
        self._faults.append(Fault("both_sides", where, f"clip {name}: {detail}"))
        if part.part == "test":
            notes.parts[key], notes.part_where[key] = part, where

    def votes(self, name: str, votes: Mapping[str, float], where: str) -> None:
        """How many annotators said what of a clip."""
        notes = self._notes.setdefault(name, _Notes())
        if notes.votes is not None:
            self._faults.append(Fault("named_twice", where, f"clip {name} has votes above: the first ones are kept"))
            return
        notes.votes = votes

    def caption(self, name: str, language: str, text: str, where: str) -> None:
        """What a person wrote of a clip. Lists of several folds repeat it; where they differ, the first is kept."""
        notes = self._notes.setdefault(name, _Notes())
        first = notes.captions.setdefault(language, text)
        if first.split() != text.split() and language not in notes.told_of:
            notes.told_of.add(language)
            detail = f"clip {name}: another caption in {language} than above; the first is kept"
            self._faults.append(Fault("bad_line", where, detail, is_known=True))

    def frames(self, name: str, num_frames: int) -> None:
        """How many frames an annotation says that a clip has."""
        self._notes.setdefault(name, _Notes()).num_frames = num_frames

    def clips(
        self,
        paths: Mapping[str, str],
        *,
        licence: str,
        splits: Mapping[str, str] | None = None,
        groups: Mapping[str, str] | None = None,
    ) -> tuple[DatasetClip, ...]:
        """The clips that were spoken of, in the natural order of their names, with the path of each that is there."""
        return tuple(
            DatasetClip(
                name=name,
                path=paths.get(name),
                label=self.label_of(name),
                votes=notes.votes,
                split=(splits or {}).get(name),
                folds=tuple(notes.parts[key] for key in natsorted(notes.parts)),
                group=(groups or {}).get(name),
                captions=tuple(Caption(language, text) for language, text in sorted(notes.captions.items())),
                licence=licence,
                num_frames=notes.num_frames,
            )
            for name in self.names
            for notes in (self._notes[name],)
        )

    def extra(self, paths: Mapping[str, str], detail: str, *, is_known: bool = False) -> Iterable[Fault]:
        """A fault for each clip that is there and was not spoken of."""
        return (Fault("extra", paths[name], detail, is_known) for name in paths if name not in self._notes)
