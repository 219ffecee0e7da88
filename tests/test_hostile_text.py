"""Hostile text is text: on every page in a real browser, in a terminal, in what Prefect shows, and in every export."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from flows import artifacts
from pipeline.audit.page import write_drift_page, write_page
from pipeline.audit.report import audit
from pipeline.audit.snapshot_drift import snapshot_drift
from pipeline.csv_cells import DANGEROUS, as_it_was
from pipeline.export.csv_tables import export_csv
from pipeline.export.huggingface import export_huggingface
from pipeline.export.parquet import export_parquet
from pipeline.inspection.corpus import Corpus
from pipeline.inspection.gallery import write_gallery
from pipeline.inspection.overview import overview_of
from pipeline.inspection.overview_page import write_overview
from pipeline.inspection.verification import verdict, write_verification_page
from pipeline.videos.datasets.verify import ClassCount, Told, Verification
from tests.hostile_corpus import HOSTILE, of, write_hostile_corpus

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What steers a terminal, or turns the text beside it."""

ALL = list(HOSTILE.values())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus(write_hostile_corpus(tmp_path_factory.mktemp("hostile") / "corpus"))


# --- pages


def gallery(corpus: Corpus, path: Path) -> Path:
    return write_gallery(corpus, path)


def paged_gallery(corpus: Corpus, path: Path) -> Path:
    return write_gallery(corpus, path, one_file=5, per_file=5)


def overview(corpus: Corpus, path: Path) -> Path:
    return write_overview(overview_of(corpus, Corpus(corpus.store.root, 1)), path)


def audit_page(corpus: Corpus, path: Path) -> Path:
    return write_page(audit(corpus, before=Corpus(corpus.store.root, 1)), path)


def drift_page(corpus: Corpus, path: Path) -> Path:
    return write_drift_page(snapshot_drift(Corpus(corpus.store.root, 1), corpus), path)


def verification_page(corpus: Corpus, path: Path) -> Path:
    return write_verification_page(verification(), HOSTILE["html"] + HOSTILE["turned"], path)


def notebook(corpus: Corpus, path: Path) -> Path:
    """What `df.facescribe.show()` and `.diff()` give a notebook, as a page without any protection of its own."""
    if importlib.util.find_spec("pipeline.inspection.showing_tracks") is None:
        pytest.skip("nothing is shown in a notebook here")
    shown: Any = corpus.descriptions().facescribe.show()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'<!doctype html><html lang="en"><meta charset="utf-8"><title>x</title><body>{shown._repr_html_()}')
    return path


def verification() -> Verification:
    return Verification(
        dataset=HOSTILE["html"],
        variant=HOSTILE["attribute"],
        folder=HOSTILE["one_word"],
        is_frames=False,
        is_deep=False,
        fingerprint=HOSTILE["script"],
        labels=tuple(ALL),
        num_expected=9,
        num_found=8,
        num_frames=7,
        num_bytes=6,
        num_not_opened=0,
        frames_per_clip=None,
        sizes=(),
        counts=tuple(
            ClassCount(protocol=said, fold=said, part=said, label=said, expected=2, found=1, published=None)
            for said in ALL
        ),
        faults=tuple(Told(kind="missing", where=said, detail=said, is_known=False) for said in ALL),
    )


PAGES = [gallery, paged_gallery, overview, audit_page, drift_page, verification_page, notebook]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


TEASE = """() => {
    for (const one of document.querySelectorAll('details')) one.open = true;
    for (const one of document.querySelectorAll('body *')) {
        for (const kind of ['mouseover', 'mouseenter', 'focus', 'load', 'error', 'animationend'])
            one.dispatchEvent(new Event(kind, {bubbles: kind === 'mouseover'}));
    }
}"""

HANDLERS = """() => [...document.querySelectorAll('*')].flatMap(one =>
    [...one.attributes].filter(a => a.name.startsWith('on') || /^\\s*javascript:/i.test(a.value) &&
        ['href', 'src', 'action', 'formaction', 'xlink:href'].includes(a.name)).map(a => a.name))"""

STRANGERS = """() => [...document.querySelectorAll(
    'object, embed, base, meta[http-equiv=refresh], link:not([href^="data:,"]), form[action], img[src=x], ' +
    'iframe[src^="javascript"], iframe[src^="http"], a[href^="http"], script[src^="http"]')]
    .map(one => one.outerHTML.slice(0, 200))"""
"""What a page of ours never holds. Its own dialogs, icons and frames of the files beside it may be there."""


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("make", PAGES, ids=lambda make: make.__name__)
@pytest.mark.parametrize("is_bare", [False, True], ids=["with its policy", "without its policy"])
def test_nothing_runs_nothing_leaves_and_the_page_keeps_its_width(
    corpus: Corpus, tmp_path: Path, browser: Browser, make: Callable[[Corpus, Path], Path], is_bare: bool
) -> None:
    """Without its Content-Security-Policy the page must be as safe: the policy is the second lock, not the first."""
    path = make(corpus, tmp_path / "out" / "page.html")
    for file in sorted({path, *path.parent.rglob("*.html")}):
        for width in (1280, 390):
            context = browser.new_context(viewport={"width": width, "height": 800}, bypass_csp=is_bare)
            page = context.new_page()
            asked: list[str] = []
            said: list[str] = []
            _listen(page, asked, said)
            page.goto(file.as_uri())
            page.evaluate(TEASE)
            page.wait_for_timeout(100)
            where = f"{make.__name__}: {file.name} at {width} px"
            assert page.evaluate("window.__owned") is None, where
            assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == [], where
            assert said == [], where
            assert page.evaluate(HANDLERS) == [], where
            assert page.evaluate(STRANGERS) == [], where
            assert page.evaluate("document.documentElement.scrollWidth") <= width, where
            context.close()


def _listen(page: Page, asked: list[str], said: list[str]) -> None:
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize(
    ("make", "kinds"),
    [
        (gallery, set(HOSTILE)),
        (overview, {"html", "script", "attribute", "sql", "template", "prototype"}),
        (drift_page, set(HOSTILE)),
        (verification_page, set(HOSTILE)),
    ],
    ids=["gallery", "overview", "drift", "verification"],
)
def test_a_reader_sees_what_was_written(
    corpus: Corpus, tmp_path: Path, browser: Browser, make: Callable[[Corpus, Path], Path], kinds: set[str]
) -> None:
    page = browser.new_page()
    page.goto(make(corpus, tmp_path / "page.html").as_uri())
    seen = _plain(page.evaluate("document.body.textContent"))
    page.close()
    assert not UNSEEN.search(seen), "what is not seen is named"
    assert [kind for kind in HOSTILE if kind in kinds and _plain(_named(HOSTILE[kind])) not in seen] == []


def _named(text: str) -> str:
    return UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)


def _plain(text: str) -> str:
    """Without white space, which a page may lay out as it likes."""
    return "".join(text.split())


# --- terminal


@pytest.mark.parametrize(
    "command",
    [
        ("show", "descriptions", "--limit", "40"),
        ("show", "rejects", "--limit", "40"),
        ("show", "videos", "--limit", "40"),
        ("show", "reviews", "--limit", "60"),
        ("show", "descriptions", "--json", "--limit", "40"),
        ("show", "--sql", "select path, label, text from descriptions join videos using (video_id)"),
        ("status",),
        ("log",),
        ("overview",),
        ("audit", "--only", "diversity,coverage,counterfactuals"),
        ("drift",),
        ("review", "status"),
        ("check",),
    ],
    ids=" ".join,
)
def test_no_escape_reaches_the_terminal(corpus: Corpus, command: tuple[str, ...]) -> None:
    from flows.__main__ import app

    done = CliRunner().invoke(app, [*command, "--root", str(corpus.store.root)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    found = UNSEEN.search(done.output)
    assert found is None, f"{found[0]!r} in {done.output[max(0, found.start() - 60) : found.end() + 20]!r}"
    assert len(done.output) > 40


def test_faults_of_a_data_set_are_printed_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    from flows.audit import print_panels
    from pipeline.inspection.verification import panels_of_verification

    print_panels(panels_of_verification(verification(), most=40))
    assert not UNSEEN.search(capsys.readouterr().out + verdict(verification()))


# --- Prefect


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What would be published."""
    shown: list[tuple[str, Any]] = []
    monkeypatch.setattr(artifacts, "is_watched", lambda: True)
    monkeypatch.setattr(
        artifacts, "create_markdown_artifact", lambda markdown, key, description: shown.append((key, markdown))
    )
    monkeypatch.setattr(artifacts, "create_table_artifact", lambda rows, key, description: shown.append((key, rows)))
    return shown


def test_what_prefect_shows_holds_no_tag_and_no_link(corpus: Corpus, published: list[tuple[str, Any]]) -> None:
    root = Path(corpus.store.root)
    before = Corpus(root, 1)
    artifacts.publish_counts(root, before.snapshot, corpus)
    artifacts.publish_text(root, "drift", snapshot_drift(before, corpus).to_markdown(), "drift")
    assert len(published) == 3
    for key, shown in published:
        assert re.fullmatch("[a-z0-9-]+", key)
        if isinstance(shown, str):
            assert not UNSEEN.search(shown)
            assert tags_of_markdown(shown) <= PLAIN_TAGS
        else:
            json.dumps(shown)  # cells are text: the page shows them as they are


PLAIN_TAGS = {"h1", "h2", "h3", "p", "ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "strong", "em"} | {
    "code",
    "pre",
    "hr",
    "br",
}


def tags_of_markdown(text: str) -> set[str]:
    """The tags that a reader which lets HTML through makes of Markdown."""
    found: set[str] = set()

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.add(tag)

    reader: HTMLParser = Tags()
    reader.feed(str(MarkdownIt("commonmark", {"html": True}).enable("table").render(text)))
    return found


# --- exports


def test_the_card_of_an_export_is_text(corpus: Corpus, tmp_path: Path) -> None:
    made: dict[str, Callable[[Path], Any]] = {
        "parquet": lambda out: export_parquet(corpus, out, ("videos", "descriptions")),
        "csv": lambda out: export_csv(corpus, out, ("videos", "descriptions")),
        "huggingface": lambda out: export_huggingface(corpus, out),
    }
    for name, export in made.items():
        export(tmp_path / name)
        card = (tmp_path / name / "README.md").read_text(encoding="utf-8")
        head, body = re.fullmatch(r"---\n(.*?)\n---\n(.*)", card, re.DOTALL).groups()  # type: ignore[union-attr]
        assert isinstance(yaml.safe_load(head), dict), name
        assert not UNSEEN.search(body), name
        assert tags_of_markdown(body) - PLAIN_TAGS <= {"a"}, name
        assert "owned.invalid" not in "".join(re.findall(r'(?:href|src)="([^"]*)"', MarkdownIt().render(body))), name


def test_no_cell_of_a_csv_is_computed_and_each_comes_back(corpus: Corpus, tmp_path: Path) -> None:
    export_csv(corpus, tmp_path / "out", ("videos", "drafts", "descriptions"))
    for table, column in (("videos", "label"), ("drafts", "text"), ("descriptions", "text")):
        with (tmp_path / "out" / f"{table}.csv").open(encoding="utf-8", newline="") as file:
            csv.field_size_limit(10**7)
            rows = list(csv.DictReader(file))
        assert not [cell for row in rows for cell in row.values() if cell.startswith(DANGEROUS)]
        assert {as_it_was(row[column]) for row in rows} == set(ALL)


def test_what_goes_out_for_review_is_the_text_itself(corpus: Corpus, tmp_path: Path) -> None:
    """As JSON, so that a reader shows it as it is; the page's own description has nothing of the data in it."""
    from pipeline.reviews.argilla import export_argilla
    from pipeline.reviews.label_studio import export_label_studio

    with_crops = [of("t", 0)]
    export_label_studio(corpus, tmp_path / "label_studio", with_crops)
    (task,) = json.loads((tmp_path / "label_studio" / "tasks.json").read_text(encoding="ascii"))
    assert HOSTILE["html"] in _strings(task), "the text arrives as a string of its own"
    config = (tmp_path / "label_studio" / "labeling.xml").read_text(encoding="utf-8")
    assert "__owned" not in config, "what a page is built from holds nothing of the data"
    export_argilla(corpus, tmp_path / "argilla")
    records = json.loads((tmp_path / "argilla" / "records.json").read_text(encoding="ascii"))
    assert len(records) == len(HOSTILE)
    for said in ("script", "attribute", "template", "formula", "sql", "one_word"):
        assert HOSTILE[said] in _strings(records), said


def _strings(value: Any) -> set[str]:
    """Every string in a JSON value."""
    if isinstance(value, dict):
        return set().union(*map(_strings, value.values()))
    if isinstance(value, list):
        return set().union(*map(_strings, value))
    return {value} if isinstance(value, str) else set()


def test_the_hostile_texts_are_what_they_claim() -> None:
    assert len(HOSTILE["one_word"]) == len(HOSTILE["many_words"]) == 10_000
    assert any(unicodedata.combining(character) for character in HOSTILE["combining"])
    assert any(unicodedata.bidirectional(character) == "RLO" for character in HOSTILE["turned"])
