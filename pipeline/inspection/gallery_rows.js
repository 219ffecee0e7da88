// Which rows fit, and in which order: over lists that the page holds, one for each column. No element is touched for it
// but the controls themselves.
const byId = (id) => document.getElementById(id);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const make = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text; // never as HTML: what comes from data stays text
  return element;
};
const SIGNS = { refined: "✓", edited: "✎", fallback: "▲", none: "○" };
const DECISIONS = { accept: "✓", reject: "✗", edit: "✎", unsure: "?" };

const rows = JSON.parse(byId("rows").textContent);
const size = rows.id.length;
const numberOf = new Map(rows.id.map((id, number) => [id, number]));
const fold = (text) => text.normalize("NFKD").toLowerCase();
const spoken = (name) => name.replaceAll("_", " ");

let folded = null; // what a search looks at, made once, when it is first needed or the browser has nothing else to do
function searched() {
  folded ??= rows.id.map((id, n) =>
    fold([rows.path[n], rows.text[n], rows.draft[n], rows.label[n], rows.split[n], rows.detail[n], rows.reason[n] && spoken(rows.reason[n]), id].filter(Boolean).join("\n")));
  return folded;
}
(window.requestIdleCallback ?? setTimeout)(searched);

const CHOICES = {
  label: { values: (n) => [rows.label[n] ?? ""] },
  split: { values: (n) => [rows.split[n] ?? ""] },
  reason: { values: (n) => (rows.reason[n] ? [rows.reason[n]] : []), shown: spoken },
  verdict: {
    values: (n) => ["supported", "contradicted", "not_measurable"].filter((_, kind) => rows.verdicts[n][kind] > 0),
    shown: (value) => `has ${spoken(value)}`,
  },
  action: { values: (n) => rows.action[n].map((number) => rows.actions[number]), shown: spoken },
  quality: { values: (n) => [rows.quality[n]] },
};
let status = "";

// Fill each choice with the values that there are, and how often; one value tells no rows apart.
for (const [name, choice] of Object.entries(CHOICES)) {
  const select = byId(`by-${name}`);
  const counts = new Map();
  for (let n = 0; n < size; n++) for (const value of choice.values(n)) counts.set(value, (counts.get(value) ?? 0) + 1);
  select.append(new Option("all", "*"));
  for (const value of [...counts.keys()].sort()) {
    select.append(new Option(`${value === "" ? "none" : (choice.shown ?? String)(value)} (${counts.get(value)})`, value));
  }
  choice.select = select;
  select.closest("label").hidden = counts.size < (name === "reason" || name === "verdict" ? 1 : 2);
}

// A number for each row that is mixed but always the same: a sample that a reviewer cannot steer.
const mixed = (id) => { let h = 2166136261; for (const c of id) h = Math.imul(h ^ c.charCodeAt(0), 16777619); return h >>> 0; };
const ORDERS = {
  worst: (n) => [-rows.verdicts[n][1], -rows.verdicts[n][2], rows.status[n] === "fallback" ? 0 : 1],
  changed: (n) => [-rows.changed[n]],
  longest: (n) => [-rows.seconds[n]],
  shortest: (n) => [rows.seconds[n]],
  small: (n) => [rows.face_px[n]],
  mixed: (n) => [mixed(rows.id[n])],
};

// Numbers of the rows that fit, in order.
function choose(decisionOf) {
  const words = fold(byId("search").value).split(/\s+/).filter(Boolean);
  const texts = words.length ? searched() : null;
  const wanted = Object.values(CHOICES).filter(({ select }) => select.value !== "*").map(({ values, select }) => [values, select.value]);
  const review = byId("by-review").value;
  const fitting = [];
  for (let n = 0; n < size; n++) {
    if (status && rows.status[n] !== status) continue;
    if (wanted.length && !wanted.every(([values, value]) => values(n).includes(value))) continue;
    if (review) {
      const decision = decisionOf(rows.id[n]);
      if (review === "open" ? decision : review === "done" ? !decision : decision !== review) continue;
    }
    if (texts && !words.every((word) => texts[n].includes(word))) continue;
    fitting.push(n);
  }
  const order = byId("sort").value;
  if (order === "path") return fitting.sort((a, b) => (rows.path[a] < rows.path[b] ? -1 : rows.path[a] > rows.path[b] ? 1 : a - b));
  if (!ORDERS[order]) return fitting;
  const keys = new Map(fitting.map((n) => [n, ORDERS[order](n)]));
  return fitting.sort((a, b) => {
    const [x, y] = [keys.get(a), keys.get(b)];
    for (let i = 0; i < x.length; i++) if (x[i] !== y[i]) return x[i] - y[i];
    return a - b;
  });
}

function showEverything() {
  status = byId("search").value = byId("by-review").value = "";
  for (const { select } of Object.values(CHOICES)) select.value = "*";
}

// Calls `changed` whenever something else may fit.
function whenChosen(changed) {
  for (const button of all("[data-filter]")) {
    button.addEventListener("click", () => {
      status = button.dataset.filter;
      changed();
    });
  }
  byId("search").addEventListener("input", changed);
  for (const select of all(".choices select")) select.addEventListener("change", changed);
  byId("reset").addEventListener("click", () => { showEverything(); changed(); byId("search").focus(); });
}

function tellChosen(shown) {
  for (const button of all("[data-filter]")) button.setAttribute("aria-pressed", String(button.dataset.filter === status));
  byId("count").textContent = shown === size ? "" : `${shown} of ${size} tracks`;
  byId("nothing").hidden = shown > 0 || !size;
}

// Keys: none while a person writes, and none that belongs to the browser.
const isWriting = (element) => element?.matches?.("input:not([type=checkbox], [type=range]), textarea, select") ?? false;
function whenPressed(act) {
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isWriting(event.target)) return event.target.blur();
    if (event.ctrlKey || event.metaKey || event.altKey || isWriting(event.target) || byId("help").open) return;
    if (event.key === " " && event.target.closest("button, a, summary, input, label")) return;
    if (act(event.key)) event.preventDefault();
  });
}
const common = {
  "/": () => { byId("search").focus(); byId("search").select(); },
  "?": () => byId("help").showModal(),
};
byId("keys").addEventListener("click", common["?"]);
if (matchMedia("(max-width: 60rem)").matches) document.querySelector(".tools").open = false;
