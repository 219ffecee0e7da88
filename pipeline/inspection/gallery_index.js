// The index of a folder: only the rows in view are elements, so that ten thousand of them cost no more than thirty.
const list = byId("list");
const holder = list.querySelector("ul");
const detail = byId("detail");
const isSplit = matchMedia("(min-width: 60.01rem)");
const SPARE = 8; // rows above and below what is seen
let fitting = [];
let chosen = -1; // number of the row, not its place
let height = 0;
let going = ""; // an address that this page chose itself: it is told of it later, when more may have been typed
const elements = new Map();

const address = (n) => `${rows.files[rows.file[n]].split("/").map(encodeURIComponent).join("/")}#track-${encodeURIComponent(rows.id[n])}`;

function makeRow(n) {
  const item = make("li");
  const link = make("a", "row");
  link.href = address(n);
  const picture = make("img");
  picture.alt = "";
  if (rows.thumb[n]) picture.src = rows.thumb[n];
  const words = make("span", "words");
  const title = make("span", "title");
  title.append(make("bdi", "", rows.path[n]));
  const state = make("b", `sign unblind ${rows.status[n]}`, SIGNS[rows.status[n]] ?? "○");
  state.title = rows.status[n];
  const first = make("span", "first");
  first.append(state, title);
  const decision = decisionOf(rows.id[n]);
  if (decision) first.append(make("b", "decision", `${DECISIONS[decision]} ${decision}`));
  const facts = make("span", "facts");
  const [, wrong, unsure] = rows.verdicts[n];
  for (const [text, kind] of [
    [rows.place[n]], [`${rows.seconds[n].toFixed(1)} s`], [rows.label[n], "unblind"], [rows.quality[n] === "good" ? "" : `${rows.quality[n]} quality`],
    [wrong && `✗ ${wrong} contradicted`, "unblind wrong"], [unsure && `? ${unsure} not measurable`, "unblind"], [rows.reason[n] && spoken(rows.reason[n]), "unblind"],
  ]) if (text) facts.append(make("span", kind ?? "", text));
  const text = make("span", "text", rows.text[n] ?? "no text");
  text.dir = "auto";
  words.append(first, facts, text);
  link.append(picture, words);
  item.append(link);
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || !isSplit.matches) return;
    event.preventDefault();
    open(n);
  });
  return item;
}

function draw() {
  if (!height) {
    if (!fitting.length) { holder.replaceChildren(); return; }
    const probe = makeRow(fitting[0]);
    holder.append(probe);
    height = probe.offsetHeight || 80;
    probe.remove();
  }
  holder.style.height = `${fitting.length * height}px`;
  const first = Math.max(0, Math.floor(list.scrollTop / height) - SPARE);
  const last = Math.min(fitting.length, Math.ceil((list.scrollTop + list.clientHeight) / height) + SPARE);
  const wanted = new Set(fitting.slice(first, last));
  for (const [n, element] of elements) if (!wanted.has(n)) { element.remove(); elements.delete(n); }
  for (let place = first; place < last; place++) {
    const n = fitting[place];
    let element = elements.get(n);
    if (!element) { element = makeRow(n); elements.set(n, element); }
    element.style.top = `${place * height}px`;
    element.setAttribute("aria-posinset", place + 1);
    element.setAttribute("aria-setsize", fitting.length);
    element.classList.toggle("chosen", n === chosen);
    if (n === chosen) element.firstChild.setAttribute("aria-current", "true"); else element.firstChild.removeAttribute("aria-current");
    if (!element.isConnected) holder.append(element);
  }
}
function redraw() {
  for (const element of elements.values()) element.remove();
  elements.clear();
  draw();
}

function show() {
  fitting = choose(decisionOf);
  list.scrollTop = 0;
  redraw();
  tellChosen(fitting.length);
}

// Shows a row in full: in the frame beside the list, or, on a narrow screen, as a page of its own.
function open(n, isByPerson = true) {
  chosen = n;
  const place = fitting.indexOf(n);
  if (place >= 0) {
    const top = place * height;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + height > list.scrollTop + list.clientHeight) list.scrollTop = top + height - list.clientHeight;
  }
  draw();
  if (!isSplit.matches) { if (isByPerson) elements.get(n)?.firstChild.focus(); return; }
  detail.contentWindow.location.replace(new URL(address(n), location.href));
  const hash = `#track-${encodeURIComponent(rows.id[n])}`;
  if (!isByPerson || location.hash === hash) return;
  going = hash;
  location.replace(hash);
}

function step(by) {
  if (!fitting.length) return;
  const place = fitting.indexOf(chosen);
  open(fitting[place < 0 ? 0 : Math.min(fitting.length - 1, Math.max(0, place + by))]);
}

const keys = { ...common, j: () => step(1), k: () => step(-1), m: () => { byId("motion").click(); } };
function act(key) {
  if (keys[key]) keys[key]();
  else if (" areu".includes(key) && key && isSplit.matches && chosen >= 0) detail.contentWindow.postMessage({ facescribe: "key", key }, "*");
  else return false;
  return true;
}

function goToAddress() {
  const isOwn = location.hash === going;
  going = "";
  if (isOwn && location.hash) return true;
  const n = numberOf.get(decodeURIComponent(location.hash).replace(/^#track-/, ""));
  if (n === undefined) return false;
  if (!fitting.includes(n)) { showEverything(); show(); }
  if (n !== chosen) open(n, false);
  return true;
}

// The frame has its own switch; the one of the index turns it.
byId("motion").addEventListener("change", () => detail.contentWindow.postMessage({ facescribe: "key", key: "m" }, "*"));
list.addEventListener("scroll", draw, { passive: true });
window.addEventListener("resize", () => { height = 0; redraw(); });
window.addEventListener("hashchange", goToAddress);
listeners.push(() => { if (byId("by-review").value) show(); else redraw(); });
whenChosen(show);
whenPressed((key) => act(key));
tell();
show();
if (!goToAddress() && fitting.length && isSplit.matches) open(fitting[0], false);
performance.mark("rows"); // the list is there: bench/gallery.py reads when
