"""Views that join what belongs together, in DuckDB's SQL: texts, claims, and what was contradicted or fell back.

They stand beside the tables in `Corpus.sql`, and `texts_named` gives the same for a choice of texts. Nothing here reads
a crop or a clip.
"""

from __future__ import annotations

import re

from schemas.actions import COARSE_ACTIONS, TOLD_ACTIONS
from schemas.corpus import TABLES
from schemas.descriptions import FALLBACK_REASONS

CLAIM_TOLERANCE_S = 0.3
"""How far an event may lie from a claim to be told beside it: as in the check, `judging.CLAIM_TOLERANCE_S`."""

CONTRADICTIONS = ("claim_contradicted", "prose_contradicted")
"""Reasons to refuse an answer, or to fall back, that say that the measurement is against it."""

_WORDS = re.compile(r"\w+")

_EVIDENCE = (
    '{"events":[{"action":"VARCHAR","side":"VARCHAR","onset_s":"DOUBLE","apex_s":"DOUBLE","offset_s":"DOUBLE",'
    '"peak":"DOUBLE","intensity":"VARCHAR"}]}'
)

DECIDED = """
with said as (
    select r.track_id, r.text_version, r.reviewer, r.decision
    from reviews r join descriptions d using (track_id, text_version)
    where r.text_sha256 = sha256(d.text)
    qualify row_number() over (
        partition by r.track_id, r.text_version, r.reviewer
        order by r.reviewed_at desc, r.imported_at desc nulls last, r.review_id desc
    ) = 1
)
select track_id, text_version, case when count(distinct decision) = 1 then min(decision) else 'disputed' end as review,
    count(*)::integer as num_reviews, string_agg(reviewer, ', ' order by reviewer) as reviewers
from said group by track_id, text_version
"""
"""What reviewers decided last of exactly this text in this version; of one who decided twice, the last counts."""

TEXTS = f"""
select v.path, d.track_id, d.text_version, d.status, r.text as draft, d.text, d.fallback_reason, v.label, v.split,
    d.fallback_detail, d.claims, d.num_text_tokens, d.saw_label, d.asked, d.unit_key, d.video_id, r.evidence,
    d.review_id, d.edited_from, w.review, w.num_reviews, w.reviewers
from descriptions d left join drafts r on r.track_id = d.track_id left join videos v on v.video_id = d.video_id
    left join ({DECIDED}) w on w.track_id = d.track_id and w.text_version = d.text_version
"""

NEWEST = "select track_id, max(text_version) as text_version from descriptions group by track_id"


def views() -> dict[str, str]:
    """The SQL of each view by its name. `claims` is of every version of a text, the other two of the newest."""
    return {
        "texts": TEXTS,
        "claims": claims("select * from descriptions"),
        "contradicted": contradicted(_chosen(NEWEST)),
        "fallbacks": fallbacks(_chosen(NEWEST)),
    }


def named_in(query: str | None) -> set[str]:
    """Tables and views whose names occur in a query, and those that they are made of; all of them if none does."""
    of_views = views()
    known = {*TABLES, *of_views}
    named = known if query is None else known & set(_WORDS.findall(query.lower()))
    for name in named & of_views.keys():
        named = named | (TABLES.keys() & set(_WORDS.findall(of_views[name])))
    return named or known


def _chosen(wanted: str) -> str:
    return f"select d.* from descriptions d semi join ({wanted}) n using (track_id, text_version)"


def chosen(name: str) -> str:
    """Descriptions whose track and version stand in the relation `name`."""
    return _chosen(f"select * from {name}")


def claims(descriptions: str) -> str:
    """One row per claim of these descriptions, with its verdict, and with the measured event that lies nearest to it.

    An event lies near when it is of the claimed action (or, where a whole region is claimed, of that region) and within
    the tolerance of the claim's span; of several the one that shares most time with it.
    """
    return f"""
with told as (
    select d.track_id, d.text_version, d.video_id, d.status, d.text, unnest(d.claims) as c,
        generate_subscripts(d.claims, 1) as claim
    from ({descriptions}) d
), measured as (
    select track_id, unnest(from_json(evidence, '{_EVIDENCE}').events) as e
    from drafts where json_valid(evidence)
), speaks_of(said, action) as (values {_speaks_of()}
), near as (
    select t.track_id, t.text_version, t.claim, count(*) as num_events,
        arg_max(m.e, (least(m.e.offset_s, t.c.end_s) - greatest(m.e.onset_s, t.c.start_s), m.e.peak)) as e
    from told t join speaks_of s on s.said = t.c.action
        join measured m on m.track_id = t.track_id and m.e.action = s.action
            and m.e.onset_s - {CLAIM_TOLERANCE_S} <= t.c.end_s and t.c.start_s <= m.e.offset_s + {CLAIM_TOLERANCE_S}
    group by all
)
select v.path, v.label, t.track_id, t.text_version, t.claim::integer as claim, t.c.action as action,
    t.c.region as region, t.c.side as side, t.c.polarity as polarity, t.c.intensity as intensity,
    t.c.start_s as start_s, t.c.end_s as end_s, t.c.source as source, t.c.verdict as verdict, t.c.why as why,
    n.e.action as measured_action, n.e.side as measured_side, n.e.intensity as measured_intensity,
    n.e.onset_s as measured_onset_s, n.e.apex_s as measured_apex_s, n.e.offset_s as measured_offset_s,
    n.e.peak as measured_peak, coalesce(n.num_events, 0)::integer as num_events, t.status, t.text, t.video_id
from told t left join near n using (track_id, text_version, claim) left join videos v on v.video_id = t.video_id
"""


def contradicted(descriptions: str) -> str:
    """Texts against which the measurement speaks, the worst first.

    Those that still claim something contradicted come first, by how many of their claims that is and what share; then
    those that are the draft's now because the model's answers were refused as contradicted, by how many answers.
    """
    reasons = ", ".join(f"'{reason}'" for reason in CONTRADICTIONS)
    return f"""
with judged as (
    select d.track_id, d.text_version, d.video_id, d.status, d.fallback_reason, d.fallback_detail, d.text, d.asked,
        len(d.claims)::integer as num_claims,
        list_filter(d.claims, lambda c: c.verdict = 'contradicted') as against
    from ({descriptions}) d
    where d.fallback_reason in ({reasons})
        or list_contains(list_transform(d.claims, lambda c: c.verdict), 'contradicted')
)
select v.path, v.label, j.track_id, j.text_version, j.status, len(j.against)::integer as num_contradicted, j.num_claims,
    len(list_filter(j.asked, lambda a: a.fault in ({reasons})))::integer as num_refused_answers,
    array_to_string(list_transform(j.against, lambda c: c.action || ' (' || c.side || '): ' || c.why)
        || case when j.fallback_reason in ({reasons}) then ['refused: ' || coalesce(j.fallback_detail, '')] else [] end,
        '; ') as why,
    j.text, v.split, j.video_id
from judged j left join videos v on v.video_id = j.video_id
order by num_contradicted desc, num_contradicted / greatest(j.num_claims, 1) desc, num_refused_answers desc,
    j.track_id, j.text_version
"""


def fallbacks(descriptions: str) -> str:
    """Texts that are the draft's, with the reason in words and the last answer that was refused."""
    meanings = ", ".join(f"('{name}', '{_quoted(meaning)}')" for name, meaning in FALLBACK_REASONS.items())
    return f"""
select v.path, v.label, d.track_id, d.text_version, d.fallback_reason, m.meaning, d.fallback_detail,
    len(d.asked)::integer as num_answers, d.asked[-1].raw_answer as last_answer, d.text, v.split, d.video_id
from ({descriptions}) d left join videos v on v.video_id = d.video_id
    left join (values {meanings}) m(reason, meaning) on m.reason = d.fallback_reason
where d.status = 'fallback'
order by d.track_id, d.text_version
"""


def _speaks_of() -> str:
    """Which measured actions speak to a claimed one: itself, or any of its region where a whole region is claimed."""
    pairs = [
        (said, action)
        for said, told in TOLD_ACTIONS.items()
        for action in TOLD_ACTIONS
        if action == said or (said in COARSE_ACTIONS and TOLD_ACTIONS[action].region == told.region)
    ]
    return ", ".join(f"('{said}', '{action}')" for said, action in pairs)


def _quoted(text: str) -> str:
    return text.replace("'", "''")
