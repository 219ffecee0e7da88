// What a person decided on each text: kept in this browser under the corpus and snapshot, and saved as a file.
const { corpus, snapshot } = document.body.dataset;
const KEY = `facescribe reviews\n${corpus}\n${snapshot}`;
const isFramed = window.parent !== window;
const NOTHING = { reviewer: "", blind: false, reviews: {} };

// A review that could be one of ours, with nothing else in it; null for anything else.
function clean(review) {
  const isText = (value) => typeof value === "string";
  if (!review || !isText(review.track_id) || !Object.hasOwn(DECISIONS, review.decision)) return null;
  if (!/^[0-9a-f]{64}$/.test(review.text_sha256) || !Number.isInteger(review.text_version)) return null;
  if (!isText(review.reviewed_at) || Number.isNaN(Date.parse(review.reviewed_at))) return null;
  const edited = review.decision === "edit" && isText(review.edited_text) ? review.edited_text : null;
  if (review.decision === "edit" && !edited?.trim()) return null;
  return {
    track_id: review.track_id, text_version: review.text_version, text_sha256: review.text_sha256, decision: review.decision,
    reason: isText(review.reason) && review.reason.trim() ? review.reason : null, edited_text: edited, reviewed_at: review.reviewed_at,
    blind: review.blind === true,
  };
}

function cleanState(state) {
  const reviews = Object.values(state?.reviews ?? {}).map(clean).filter(Boolean);
  return {
    reviewer: typeof state?.reviewer === "string" ? state.reviewer : "",
    blind: state?.blind === true,
    reviews: Object.fromEntries(reviews.map((review) => [review.track_id, review])),
  };
}

let kept = NOTHING;
try { kept = cleanState(JSON.parse(localStorage.getItem(KEY)) ?? NOTHING); } catch { kept = cleanState(NOTHING); }
let canKeep = true;
const listeners = [];

// The decision on the text that this page shows of a track: one on an older text of it is none.
function reviewOf(id) {
  const review = kept.reviews[id];
  const n = numberOf.get(id);
  return review && n !== undefined && review.text_sha256 === rows.sha256[n] && review.text_version === rows.version[n] ? review : undefined;
}
const decisionOf = (id) => reviewOf(id)?.decision;

function keep(next, from) {
  kept = next;
  try { localStorage.setItem(KEY, JSON.stringify(kept)); canKeep = true; } catch { canKeep = false; }
  // Some browsers give each file a store of its own: so the frame and the index also tell one another.
  if (from !== "parent" && isFramed) window.parent.postMessage({ facescribe: "reviews", state: kept }, "*");
  if (from !== "frame") byId("detail")?.contentWindow?.postMessage({ facescribe: "reviews", state: kept }, "*");
  tell();
}

function tell() {
  const counts = { accept: 0, reject: 0, edit: 0, unsure: 0 };
  for (const id of rows.id) { const decision = decisionOf(id); if (decision) counts[decision]++; }
  const done = counts.accept + counts.reject + counts.edit + counts.unsure;
  const parts = Object.entries(counts).filter(([, count]) => count).map(([decision, count]) => `${DECISIONS[decision]} ${count} ${decision}`);
  byId("decided").textContent = `${done} of ${rows.sha256.filter(Boolean).length} decided${parts.length ? ": " + parts.join(", ") : ""}${canKeep ? "" : ". This browser keeps nothing: save before you close"}`;
  if (document.activeElement !== byId("reviewer")) byId("reviewer").value = kept.reviewer;
  byId("blind").checked = kept.blind;
  document.body.classList.toggle("blindly", kept.blind);
  for (const listener of listeners) listener();
}

// Sets, or with no decision takes back, what is decided on the text of a track.
function decide(id, decision, reason = null, edited = null) {
  const n = numberOf.get(id);
  if (n === undefined || !rows.sha256[n]) return;
  const reviews = { ...kept.reviews };
  delete reviews[id];
  const review = decision && clean({
    track_id: id, text_version: rows.version[n], text_sha256: rows.sha256[n], decision, reason, edited_text: edited,
    reviewed_at: new Date().toISOString(), blind: kept.blind,
  });
  if (review) reviews[id] = review;
  keep({ ...kept, reviews });
}

function reviewFile() {
  const decided = Object.values(kept.reviews).sort((a, b) => (a.reviewed_at < b.reviewed_at ? -1 : 1));
  return {
    format: "facescribe reviews", version: 1, corpus, snapshot: Number(snapshot), reviewer: kept.reviewer.trim(),
    saved_at: new Date().toISOString(), is_blind: decided.length > 0 && decided.every((review) => review.blind),
    reviews: decided.map(({ blind, ...review }) => review),
  };
}

const sayToReader = (words) => { byId("said").textContent = words; };

byId("reviewer").addEventListener("input", () => keep({ ...kept, reviewer: byId("reviewer").value }));
byId("blind").addEventListener("change", () => keep({ ...kept, blind: byId("blind").checked }));
byId("save").addEventListener("click", () => {
  const file = reviewFile();
  if (!file.reviews.length) return sayToReader("Nothing is decided yet: choose a track and press a, r, e or u.");
  if (!file.reviewer) { byId("reviewer").focus(); return sayToReader("Who decided? Write your name under “Reviewer”, then save."); }
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(file, null, 1)], { type: "application/json" }));
  link.download = `reviews-${corpus}-${snapshot}-${file.reviewer}.json`.replace(/[^\p{L}\p{N}.-]+/gu, "_");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  const seeing = Object.values(kept.reviews).filter((review) => !review.blind).length;
  const blindly = file.is_blind ? ", all of them blind" : seeing < file.reviews.length ? `; ${seeing} of them were not blind, so the file is not` : "";
  sayToReader(`Saved ${file.reviews.length} decisions as ${link.download}${blindly}. Next: facescribe review import ${link.download}`);
});

byId("load").addEventListener("change", async () => {
  const [chosen] = byId("load").files;
  byId("load").value = "";
  if (!chosen) return;
  let file;
  try { file = JSON.parse(await chosen.text()); } catch { return sayToReader(`${chosen.name} is no JSON: choose a file that this page saved.`); }
  if (file?.format !== "facescribe reviews" || file.version !== 1 || !Array.isArray(file.reviews)) {
    return sayToReader(`${chosen.name} is no file of reviews, version 1: choose a file that this page saved.`);
  }
  const reviewer = typeof file.reviewer === "string" ? file.reviewer : "";
  if (kept.reviewer && reviewer !== kept.reviewer && Object.keys(kept.reviews).length) {
    return sayToReader(`${chosen.name} is by ${reviewer}, and what is kept here by ${kept.reviewer}: save and import them apart.`);
  }
  const found = file.reviews.map((review) => clean({ ...review, blind: file.is_blind === true })).filter(Boolean);
  const reviews = { ...kept.reviews };
  let newer = 0;
  for (const review of found) {
    if (reviews[review.track_id] && Date.parse(reviews[review.track_id].reviewed_at) >= Date.parse(review.reviewed_at)) continue;
    reviews[review.track_id] = review;
    newer++;
  }
  keep({ ...kept, reviewer, reviews });
  const here = found.filter((review) => reviewOf(review.track_id)).length;
  sayToReader(`Loaded ${newer} of ${file.reviews.length} decisions; ${here} are on texts of this page.`);
});

window.addEventListener("message", ({ source, data }) => {
  const from = source === window.parent && isFramed ? "parent" : source && source === byId("detail")?.contentWindow ? "frame" : null;
  if (!from || typeof data !== "object" || data === null) return;
  if (data.facescribe === "reviews") {
    const state = cleanState(data.state);
    if (JSON.stringify(state) !== JSON.stringify(kept)) keep(state, from);
  }
  if (data.facescribe === "ready" && from === "frame") {
    source.postMessage({ facescribe: "reviews", state: kept }, "*");
    if (!byId("motion").checked) source.postMessage({ facescribe: "key", key: "m" }, "*");
  }
  if (data.facescribe === "key" && typeof data.key === "string") act(data.key, true);
});
window.addEventListener("storage", (event) => {
  if (event.key !== KEY) return;
  try { kept = cleanState(JSON.parse(event.newValue) ?? NOTHING); } catch { return; }
  tell();
});
