"""The dataset card of an export: a README.md that people read, with a head that the Hugging Face hub reads.

Everything in it is counted from the snapshot that goes out. What is not known is said to be unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.audit.leak import Leak, leak
from pipeline.audit.texts import AuditError, texts_of
from pipeline.export.record import Export
from pipeline.export.rows import columns_of
from pipeline.inspection.corpus import Corpus
from pipeline.inspection.page import name_unseen
from pipeline.reviews.standing import review_columns
from schemas.rejects import REASONS

MOST_PROBED = 4000
"""Texts above which the label probe is left to `facescribe audit`: an export shall not wait for it."""

HUB_LICENCES = {
    "CC0": "cc0-1.0",
    "CC0 1.0": "cc0-1.0",
    "CC BY 2.0": "cc-by-2.0",
    "CC BY 3.0": "cc-by-3.0",
    "CC BY 4.0": "cc-by-4.0",
    "CC BY-SA 4.0": "cc-by-sa-4.0",
    "CC BY-NC 4.0": "cc-by-nc-4.0",
    "CC BY-NC-SA 4.0": "cc-by-nc-sa-4.0",
    "CC BY-ND 4.0": "cc-by-nd-4.0",
    "CC BY-NC-ND 4.0": "cc-by-nc-nd-4.0",
    "ODbL": "odbl",
    "ODbL 1.0": "odbl",
    "Apache-2.0": "apache-2.0",
    "MIT": "mit",
}
"""What the hub calls licences that have one name everywhere. Any other is `other`, with its own words beside it."""

NOT_SAID = "not said"

SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)


@dataclass
class _Facts:
    """What is counted for the card."""

    num_videos: int = 0
    seconds: float = 0.0
    of_split: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Videos by split and label."""
    datasets: Counter[str] = field(default_factory=Counter)
    terms: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Videos by licence and consent."""
    num_tracks: int = 0
    weights: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Tracks by name, hash and licence of a weight file."""
    decoders: Counter[str] = field(default_factory=Counter)
    detectors: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    fallbacks: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    num_saw_label: int = 0
    models: Counter[tuple[str, ...]] = field(default_factory=Counter)
    """Requests by model, revision, licence, engine and prompt."""
    faults: Counter[str] = field(default_factory=Counter)
    """Answers that were not used, by reason."""
    num_requests: int = 0
    writers: Counter[str] = field(default_factory=Counter)
    rejects: Counter[tuple[str, str]] = field(default_factory=Counter)
    reviews: Counter[str] = field(default_factory=Counter)
    """Newest texts that people judged, by what they decided."""
    leaks: Leak = field(default_factory=Leak)


def write_card(folder: Path, corpus: Corpus, made: Export, data_files: Mapping[str, Mapping[str, str]]) -> None:
    """Write `README.md`. `data_files`: for each configuration of the data set, the file pattern of each split."""
    facts = _facts(corpus)
    (folder / "README.md").write_text(f"---\n{_head(facts, made, data_files)}---\n\n{_body(facts, made)}", "utf-8")


def _facts(corpus: Corpus) -> _Facts:
    facts = _Facts()
    names = ["duration_s", "split", "label", "dataset", "licence", "consent"]
    for row in columns_of(corpus, "videos", names):
        facts.num_videos += 1
        facts.seconds += row["duration_s"]
        facts.of_split[row["split"] or NOT_SAID, row["label"] or NOT_SAID] += 1
        facts.terms[_words(row["licence"]), _words(row["consent"])] += 1
        if row["dataset"]:
            facts.datasets[row["dataset"]] += 1
    for row in columns_of(corpus, "tracks", ["decoder", "detector", "weights"]):
        facts.num_tracks += 1
        facts.decoders[row["decoder"]] += 1
        facts.detectors[row["detector"]] += 1
        facts.weights.update((one["name"], one["sha256"], one["licence"]) for one in row["weights"] or ())
    versions = columns_of(corpus, "descriptions", ["track_id", "text_version"])
    newest: dict[str, int] = {}  # of the few texts that were edited
    for row in versions:
        if row["text_version"] > 1:
            newest[row["track_id"]] = max(row["text_version"], newest.get(row["track_id"], 0))
    names = ["track_id", "text_version", "status", "fallback_reason", "claims", "asked", "saw_label"]
    for row in columns_of(corpus, "descriptions", names):
        if row["text_version"] < newest.get(row["track_id"], 0):
            continue
        facts.statuses[row["status"]] += 1
        facts.num_saw_label += bool(row["saw_label"])
        if row["fallback_reason"]:
            facts.fallbacks[row["fallback_reason"]] += 1
        facts.verdicts.update(claim["verdict"] for claim in row["claims"] or ())
        _count_requests(facts, row["asked"] or ())
    for row in columns_of(corpus, "drafts", ["writer", "seen_asked"]):
        facts.writers[row["writer"]] += 1
        _count_requests(facts, [row["seen_asked"]] if row["seen_asked"] else ())
    for row in columns_of(corpus, "rejects", ["stage", "reason"]):
        facts.rejects[row["stage"], row["reason"]] += 1
    reviewed = review_columns(corpus.store, corpus.snapshot)
    facts.reviews.update(
        review
        for track_id, version, review in zip(
            reviewed["track_id"], reviewed["text_version"], reviewed["review"], strict=True
        )
        if version == newest.get(track_id, 1)
    )
    facts.leaks = _leak(corpus)
    return facts


def _count_requests(facts: _Facts, asked: Sequence[Mapping[str, Any]]) -> None:
    parts = ("model", "model_revision", "model_licence", "engine", "prompt")
    for one in asked:
        facts.num_requests += 1
        facts.models[tuple(Path(one[part]).name if part == "prompt" else one[part] for part in parts)] += 1
        if one["fault"]:
            facts.faults[one["fault"]] += 1


def _leak(corpus: Corpus) -> Leak:
    """The label probe, where it takes a moment."""
    if corpus.snapshot.counts.get("descriptions", 0) > MOST_PROBED:
        return Leak(missing=f"more than {MOST_PROBED} texts: `facescribe audit` probes them")
    try:
        texts = texts_of(corpus)
        return leak(texts) if texts else Leak(missing="there are no texts")
    except (AuditError, KeyError) as error:
        return Leak(missing=str(error))


def _words(said: str | None) -> str:
    return (said or "").strip() or NOT_SAID


def _head(facts: _Facts, made: Export, data_files: Mapping[str, Mapping[str, str]]) -> str:
    """The YAML that the hub reads."""
    import yaml

    licences = sorted({licence for licence, _ in facts.terms if licence != NOT_SAID})
    known = {HUB_LICENCES.get(licence) for licence in licences}
    is_named = bool(licences) and None not in known and not any(licence == NOT_SAID for licence, _ in facts.terms)
    head: dict[str, Any] = {"pretty_name": _title(facts), "language": ["en"]}
    if is_named:
        head["license"] = sorted(str(name) for name in known)
    else:
        head |= {"license": "other", "license_name": "see-section-licences"}
    num_rows = max([facts.num_videos, *made.rows.values()])
    head |= {
        "task_categories": ["video-classification", "video-text-to-text"],
        "tags": ["facial-expression", "dynamic-facial-expression-recognition", "facescribe", *sorted(facts.datasets)],
        "size_categories": [next((name for most, name in SIZES if num_rows < most), "n>10M")],
        "configs": [
            {
                "config_name": config,
                **({"default": True} if number == 0 else {}),
                "data_files": [{"split": split, "path": path} for split, path in files.items()],
            }
            for number, (config, files) in enumerate(data_files.items())
            if files
        ],
    }
    return str(yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=120))


def _title(facts: _Facts) -> str:
    sets = ", ".join(sorted(facts.datasets)) or "face videos"
    return f"Described facial expressions of {sets}"


def _body(facts: _Facts, made: Export) -> str:
    parts = [
        f"# {_cell(_title(facts))}",
        f"Snapshot {made.snapshot} of a facescribe corpus, committed {made.snapshot_created_at}, exported "
        f"{made.exported_at}. `export.json` says the same for programs, with the whole config.",
        _how_to_read(made),
        "## Counts",
        _table(["what", "number"], _counts(facts, made)),
        "## Splits and classes",
        "Videos by label and split, as their source says. Labels are names.",
        _classes(facts),
        "## Licences",
        "Of the videos, as whoever built the corpus stated them. The texts and measurements are derived from the "
        "videos; whether they may be used as the videos may not is for the licence to say.",
        _table(["licence", "consent", "videos"], [[*terms, str(n)] for terms, n in _sorted(facts.terms)]),
        *_without_licence(made),
        "## How it was made",
        *_how_it_was_made(facts, made),
        "## Known weaknesses",
        *_weaknesses(facts),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _how_to_read(made: Export) -> str:
    if made.text_only:
        return (
            "**Text only.** No pixel, crop, landmark or motion is in here. Whoever has the videos makes them again, "
            "with the same ids, boxes and motion tensors:\n\n"
            "```\nfacescribe rebuild THIS_FOLDER --source MY_COPY_OF_THE_VIDEOS --root NEW_CORPUS\n```"
        )
    how = {
        "parquet": 'pandas.read_parquet("descriptions")  # every table is a folder',
        "csv": (
            "# a text that begins with an apostrophe has one more than it had: take it off\n"
            'pandas.read_csv("descriptions.csv", dtype=str, keep_default_na=False)'
        ),
        "huggingface": (
            'datasets.load_dataset("THIS_FOLDER")           # one row per described track\n'
            'datasets.load_dataset("THIS_FOLDER", "clips")  # one row per training clip, where they went out'
        ),
        "webdataset": 'webdataset.WebDataset("SPLIT-{000000..LAST}.tar").decode()  # one sample per training clip',
    }
    return f"```python\n{how[made.format]}\n```\n\n`sha256sum -c checksums.sha256` tells whether all files are whole."


def _counts(facts: _Facts, made: Export) -> list[list[str]]:
    return [
        ["videos", f"{facts.num_videos:,}"],
        ["hours of video", f"{facts.seconds / 3600:.2f}"],
        ["face tracks", f"{facts.num_tracks:,}"],
        *([f"texts: {status}", f"{count:,}"] for status, count in _sorted(facts.statuses)),
        *([f"rows of {name}", f"{count:,}"] for name, count in made.rows.items()),
    ]


def _classes(facts: _Facts) -> str:
    order = {"train": 0, "validation": 1, "test": 2}
    splits = sorted({split for split, _ in facts.of_split}, key=lambda split: (order.get(split, 3), split))
    labels = sorted({label for _, label in facts.of_split}, key=lambda label: (label == NOT_SAID, label))
    rows = []
    for label in labels:
        counts = [facts.of_split[split, label] for split in splits]
        rows.append([label, *(str(count) for count in counts), _share(sum(counts), facts.num_videos)])
    return _table(["label", *splits, "share"], rows)


def _without_licence(made: Export) -> list[str]:
    if not made.num_videos_without_licence:
        return []
    return [
        f"**{made.num_videos_without_licence} videos lack a licence or a consent.** Why they went out, in the words of "
        f"whoever exported them: {_cell(made.without_licence or '')}"
    ]


def _how_it_was_made(facts: _Facts, made: Export) -> list[str]:
    models = [[*names, f"{count:,}"] for names, count in _sorted(facts.models)]
    prompts = [
        [one.stage, Path(one.name).name, part, sha256, one.file or "not kept"]
        for one in made.prompts
        for part, sha256 in one.sha256.items()
    ]
    stages = [[stage, str(of.get("version", "?"))] for stage, of in made.made_with.items()]
    software = [[name, version] for name, version in made.software.items()]
    return [
        "Faces were found, followed and measured by networks; a template wrote a draft of the measurement; a language "
        "model refined it, and its text was checked against the measurement. Texts that failed are the draft "
        "(`fallback`).",
        f"Writer of the drafts: {', '.join(sorted(map(_cell, facts.writers))) or 'none'}.",
        "### Language models",
        _table(["model", "revision", "licence of the weights", "engine", "prompt", "requests"], models)
        if models
        else "None was asked.",
        "### Prompts",
        _table(["stage", "prompt", "part", "SHA-256", "file"], prompts) if prompts else "None.",
        "### Weights of the networks that measured",
        _table(
            ["file", "SHA-256", "licence", "tracks"], [[*names, str(count)] for names, count in _sorted(facts.weights)]
        )
        if facts.weights
        else "Not recorded.",
        "### Stages and software",
        f"Decoders: {_listed(facts.decoders)}. Networks: {_listed(facts.detectors)}.",
        _table(["stage", "version"], stages) if stages else "",
        _table(["software", "version"], software),
    ]


def _checked_by_people(facts: _Facts, num_texts: int) -> str:
    edited = f"; {facts.statuses['edited']} are a person's" if facts.statuses["edited"] else ""
    if not facts.reviews:
        return f"- **Not checked by people**: no person has judged the texts as they are here{edited}."
    num_reviewed = facts.reviews.total()
    return (
        f"- **Checked by people**: {num_reviewed} of {num_texts} texts ({_share(num_reviewed, num_texts)}). "
        f"{_listed(facts.reviews)}{edited}. Nobody has judged the others."
    )


def _weaknesses(facts: _Facts) -> list[str]:
    num_texts = facts.statuses.total()
    told = [
        f"- **Fallbacks**: {facts.statuses['fallback']} of {num_texts} texts "
        f"({_share(facts.statuses['fallback'], num_texts)}) are the template's, since the language model's failed the "
        f"check. {_listed(facts.fallbacks)}",
        f"- **Answers that were not used**: {facts.faults.total()} of {facts.num_requests} requests. "
        f"{_listed(facts.faults)}",
        f"- **Claims**: {_listed(facts.verdicts) or 'none'}. A verdict holds a claim against the measurement, which "
        "may itself be wrong.",
        f"- **Texts whose writer saw the label**: {facts.num_saw_label}. They tell their label, and are for training "
        "alone.",
        f"- **Does the wording tell the label?** {_leak_in_words(facts.leaks)}",
        _checked_by_people(facts, num_texts),
    ]
    refused = [
        [stage, reason, REASONS[reason].meaning if reason in REASONS else "", str(count)]
        for (stage, reason), count in _sorted(facts.rejects)
    ]
    return [
        "\n".join(line.rstrip() for line in told),
        "Refused, and so not in here:" if refused else "Nothing was refused.",
        _table(["stage", "reason", "meaning", "units"], refused) if refused else "",
    ]


def _leak_in_words(found: Leak) -> str:
    if found.probe is None:
        return f"Not probed: {found.missing or 'no figures'}."
    left = f" {found.num_left_out} labelled texts were left out of it." if found.num_left_out else ""
    return _cell(found.probe.in_words()) + left


def _sorted(counts: Mapping[Any, int]) -> list[tuple[Any, int]]:
    """The most frequent first."""
    return sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{_cell(name)} ({count})" for name, count in _sorted(counts))


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    """A text that cannot end a table's cell, begin a link or markup, hide in a comment, or steer a terminal."""
    plain = str(name_unseen(" ".join(str(text).split())))
    for sign in "\\|<>`[]*":
        plain = plain.replace(sign, f"\\{sign}")
    return plain.replace("\\<", "&lt;").replace("\\>", "&gt;")
