// A page of whole tracks: films that play, claims that point at their evidence, texts that are judged.
const articles = all("main > article");
const articleOf = new Map(articles.map((article) => [article.dataset.track, article]));
let shown = articles;
let current = null;
let going = ""; // an address that this page chose itself: it is told of it later, when more may have been typed

function show() {
  const fitting = choose(decisionOf);
  shown = fitting.map((n) => articleOf.get(rows.id[n]));
  const fits = new Set(shown);
  for (const article of articles) article.hidden = !fits.has(article);
  const isOther = shown.some((article, place) => place && !(shown[place - 1].compareDocumentPosition(article) & Node.DOCUMENT_POSITION_FOLLOWING));
  if (isOther || shown.length === articles.length) {
    const end = byId("nothing");
    for (const article of shown) end.before(article);
  }
  tellChosen(shown.length);
}

const motion = byId("motion");
const showMotion = () => document.body.classList.toggle("still", !motion.checked);
motion.addEventListener("change", showMotion);
showMotion();

// A curve's value at a place in time, from its path; null where the path has no line.
function valueAt(path, percent, scale) {
  for (const piece of path.getAttribute("d").split("M").slice(1)) {
    const points = piece.split("L").map((point) => point.split(",").map(Number));
    const after = points.findIndex(([x]) => x >= percent);
    if (after < 0 || (after === 0 && points[0][0] > percent)) continue;
    const [[x0, y0], [x1, y1]] = [points[Math.max(after - 1, 0)], points[after]];
    const y = x1 > x0 ? y0 + ((y1 - y0) * (percent - x0)) / (x1 - x0) : y1;
    return (1 - y / 100) * scale;
  }
  return null;
}

function readOut(lane, percent, scale) {
  const parts = all(".plot path", lane).map((path) => {
    const value = valueAt(path, percent, scale);
    return make("b", path.dataset.side, `${path.dataset.side === "middle" ? "" : path.dataset.side[0].toUpperCase() + " "}${value === null ? "–" : value.toFixed(2)} `);
  });
  lane.querySelector(".readout").replaceChildren(...parts);
}

// What one article can do; made when a person first comes near it, so that opening a page costs nothing for it.
const followed = new WeakMap();
function follow(article) {
  if (followed.has(article)) return followed.get(article);
  const timeline = article.querySelector(".timeline");
  const frames = all("figure", timeline);
  const range = article.querySelector(".look input");
  const button = article.querySelector(".play");
  const cursor = timeline.querySelector(".cursor");
  const claimed = timeline.querySelector(".claimed");
  const lanes = all(".lane", timeline);
  const legend = article.querySelector(".legend");
  const places = frames.map((frame) => Number(frame.dataset.at));
  const times = frames.map((frame) => Number(frame.dataset.time));
  let now = 0;
  let playing = 0;

  function look(number) {
    now = number;
    const [frame, face, heat] = [frames[number], article.querySelector(".picture .face"), article.querySelector(".picture .heat")];
    const [small, glow] = [frame.querySelector(".face"), frame.querySelector(".heat")];
    [face.src, face.alt] = [small.src, small.alt];
    heat.hidden = !glow;
    if (glow) heat.src = glow.src;
    const time = `${frame.querySelector("figcaption").textContent} s`;
    article.querySelector(".moment .time").textContent = time;
    const clip = article.querySelector(".moment .clip");
    if (clip) clip.textContent = clip.textContent.replace(/\d+/, frame.dataset.clip);
    range.value = number;
    range.setAttribute("aria-valuetext", time);
    frames.forEach((other) => other.classList.toggle("now", other === frame));
  }
  function point(percent, isExact = true) {
    cursor.hidden = false;
    cursor.style.left = `${percent}%`;
    for (const lane of lanes) readOut(lane, percent, Number(legend.dataset.scale));
    if (!places.length || !isExact) return;
    const distances = places.map((place) => Math.abs(place - percent));
    look(distances.indexOf(Math.min(...distances)));
  }
  const pointAt = (event) => {
    if (playing) return;
    const frame = event.target.closest("figure");
    const box = timeline.getBoundingClientRect();
    point(frame ? Number(frame.dataset.at) : Math.min(100, Math.max(0, (100 * (event.clientX - box.left)) / box.width)));
  };
  for (const kind of ["pointermove", "pointerdown"]) timeline.addEventListener(kind, pointAt);
  range?.addEventListener("input", () => { stop(); point(places[range.value]); });

  // Each picture stays until the next one's presentation time has come; the last one for as long as the one before it.
  function play() {
    if (playing || frames.length < 2) return;
    if (now === frames.length - 1) look(0);
    const [first, last] = [times[0], times.at(-1)];
    const whole = last + (last - times.at(-2)) - first;
    let began = performance.now() - 1000 * (times[now] - first);
    const step = (at) => {
      let time = (at - began) / 1000;
      if (time >= whole) { began = at; time = 0; }
      let number = times.findLastIndex((t) => t - first <= time + 1e-6);
      number = Math.max(0, number);
      if (number !== now) point(places[number]);
      cursor.hidden = false;
      cursor.style.left = `${Math.min(places.at(-1), places[0] + ((places.at(-1) - places[0]) * time) / Math.max(last - first, 1e-6))}%`;
      playing = requestAnimationFrame(step);
    };
    playing = requestAnimationFrame(step);
    tellPlaying();
  }
  function stop() {
    cancelAnimationFrame(playing);
    playing = 0;
    tellPlaying();
  }
  function tellPlaying() {
    if (!button) return;
    button.setAttribute("aria-pressed", String(Boolean(playing)));
    button.setAttribute("aria-label", playing ? "Stop the film" : "Play the film");
    button.firstElementChild.textContent = playing ? "❚❚" : "▶";
  }
  const toggle = () => (playing ? stop() : play());
  button?.addEventListener("click", toggle);

  // Evidence of claims, or of a row of events: its stretch of time, its curve, its region, the words that say it.
  function light(sources) {
    dim();
    if (!playing) {
      const middle = (Number(sources[0].dataset.from) + Number(sources[0].dataset.to)) / 2;
      point(Math.min(100, Math.max(0, middle)));
    }
    for (const source of sources) {
      const [from, to] = [source.dataset.from, source.dataset.to].map((percent) => Math.min(100, Math.max(0, percent)));
      const band = make("i");
      band.style.left = `${from}%`;
      band.style.width = `${Math.max(0.2, to - from)}%`;
      claimed.append(band);
      source.classList.add("lit");
      const { claim, action, region, side } = source.dataset;
      for (const lane of lanes) if (lane.dataset.action === action) lane.classList.add("lit");
      for (const outline of all(`.regions g`, article)) outline.classList.toggle("lit", outline.classList.contains("lit") || (outline.dataset.region === region && outline.dataset.side === side));
      if (claim !== undefined) {
        for (const said of all(".said", article)) if (said.dataset.claims.split(" ").includes(claim)) said.classList.add("lit");
        for (const span of all(".plot .claim", article)) if (span.dataset.claim === claim) span.classList.add("lit");
      }
    }
  }
  function dim() {
    claimed.replaceChildren();
    for (const lit of all(".lit", article)) lit.classList.remove("lit");
  }
  const sourceOf = (claim) => article.querySelector(`tr[data-claim="${CSS.escape(claim)}"]`);
  const evidence = [
    ...all("tr[data-from]", article).map((row) => [row, () => [row]]),
    ...all(".said", article).map((said) => [said, () => said.dataset.claims.split(" ").map(sourceOf)]),
    ...all(".plot .claim", article).map((span) => [span, () => [sourceOf(span.dataset.claim)]]),
  ];
  for (const [element, sources] of evidence) {
    for (const kind of ["pointerenter", "focus"]) element.addEventListener(kind, () => light(sources().filter(Boolean)));
    for (const kind of ["pointerleave", "blur"]) element.addEventListener(kind, dim);
  }
  const made = { toggle, stop };
  followed.set(article, made);
  return made;
}

// Judging: what the buttons and fields of an article show is always what is kept.
function judge(article) {
  const id = article.dataset.track;
  const reason = article.querySelector(".reason");
  const edited = article.querySelector(".edited");
  if (!reason) return;
  const stored = rows.text[numberOf.get(id)];
  const rewrite = () => {
    const text = edited.value;
    if (text.trim() && text !== edited.dataset.from) decide(id, "edit", reason.value, text);
    else if (decisionOf(id) === "edit") decide(id, null);
  };
  for (const button of all("[data-decision]", article)) button.addEventListener("click", () => press(article, button.dataset.decision));
  reason.addEventListener("input", () => {
    const review = reviewOf(id);
    if (review) decide(id, review.decision, reason.value, review.edited_text);
  });
  reason.addEventListener("keydown", (event) => { if (event.key === "Enter") { reason.blur(); step(1); } });
  edited.addEventListener("input", rewrite);
  edited.dataset.from = stored.replace(/⟨U\+[0-9A-F]{4}⟩/g, "");
}

function press(article, decision) {
  const id = article.dataset.track;
  const [reason, edited] = [article.querySelector(".reason"), article.querySelector(".edited")];
  if (!reason) return;
  if (decision === "edit") {
    const isOpen = !edited.hidden;
    if (isOpen && document.activeElement !== edited && decisionOf(id) === "edit") { decide(id, null); edited.hidden = true; return; }
    edited.hidden = isOpen && !decisionOf(id);
    if (!edited.hidden) { if (!edited.value) edited.value = edited.dataset.from; edited.focus(); }
    return;
  }
  if (decisionOf(id) === decision) return decide(id, null);
  edited.hidden = true;
  edited.value = "";
  decide(id, decision, reason.value);
  if (decision !== "accept") reason.focus();
}

function tellArticle(article) {
  const review = reviewOf(article.dataset.track);
  for (const button of all("[data-decision]", article)) button.setAttribute("aria-pressed", String(review?.decision === button.dataset.decision));
  article.dataset.decision = review?.decision ?? "";
  const [reason, edited] = [article.querySelector(".reason"), article.querySelector(".edited")];
  if (!reason) return;
  if (document.activeElement !== reason && review) reason.value = review.reason ?? "";
  if (document.activeElement !== edited && review?.edited_text) { edited.value = review.edited_text; edited.hidden = false; }
}

function step(by) {
  if (isFramed) return window.parent.postMessage({ facescribe: "key", key: by > 0 ? "j" : "k" }, "*");
  const place = shown.indexOf(here());
  go(shown[current && shown.includes(current) ? Math.min(shown.length - 1, Math.max(0, place + by)) : Math.max(0, place)]);
}
// The track that a person is at: the one they chose, or the first that is in view.
function here() {
  if (current && shown.includes(current)) return current;
  return shown.find((article) => article.getBoundingClientRect().bottom > 120) ?? shown[0];
}
function go(article) {
  if (!article) return;
  choosePlace(article);
  going = location.hash === `#${article.id}` ? "" : `#${article.id}`;
  location.replace(`#${article.id}`); // a permalink, without a step in the browser's history
  article.focus({ preventScroll: true });
}
function choosePlace(article) {
  if (current && current !== article) followed.get(current)?.stop();
  current?.classList.remove("current");
  current = article;
  current.classList.add("current");
}

const keys = {
  ...common,
  j: () => step(1),
  k: () => step(-1),
  " ": () => { const article = here(); if (article) { choosePlace(article); follow(article).toggle(); } },
  m: () => motion.click(),
};
for (const decision of Object.keys(DECISIONS)) {
  keys[decision[0]] = () => { const article = here(); if (article) { choosePlace(article); press(article, decision); } };
}
// Keys that the index answers when this page stands in it.
function act(key, isFromIndex = false) {
  if (isFramed && !isFromIndex && ["j", "k", "/", "?", "m"].includes(key)) window.parent.postMessage({ facescribe: "key", key }, "*");
  else if (keys[key]) keys[key]();
  else return false;
  return true;
}

function goToAddress() {
  const isOwn = location.hash === going;
  going = "";
  if (isOwn && location.hash) return;
  const article = articleOf.get(decodeURIComponent(location.hash).replace(/^#track-/, ""));
  if (!article) return;
  if (article.hidden) { showEverything(); show(); }
  choosePlace(article);
  if (isFramed) for (const other of articles) other.classList.toggle("away", other !== article);
  article.scrollIntoView();
}

document.body.classList.toggle("framed", isFramed);
for (const article of articles) {
  for (const kind of ["pointerenter", "focusin", "pointerdown"]) article.addEventListener(kind, () => follow(article), { once: true });
  article.addEventListener("click", () => choosePlace(article));
  judge(article);
}
listeners.push(() => { articles.forEach(tellArticle); if (byId("by-review").value) show(); });
whenChosen(show);
whenPressed((key) => act(key));
window.addEventListener("hashchange", goToAddress);
tell();
show();
goToAddress();
if (isFramed) window.parent.postMessage({ facescribe: "ready" }, "*");
