
"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const articles = all("main > article");
  const buttons = all("[data-filter]");
  const search = document.getElementById("search");
  const fold = (text) => text.normalize("NFKD").toLowerCase();
  const texts = new Map(articles.map((article) => [article, fold(all(".searched", article).map((e) => e.textContent).join(" ") + " " + article.id)]));
  let status = "";

  function choose() {
    const words = fold(search.value).split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const article of articles) {
      const fits = (!status || article.dataset.status === status) && words.every((word) => texts.get(article).includes(word));
      article.hidden = !fits;
      shown += fits;
    }
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.filter === status));
    document.getElementById("count").textContent = shown === articles.length ? "" : `${shown} of ${articles.length} tracks`;
    document.getElementById("nothing").hidden = shown > 0 || !articles.length;
  }
  for (const button of buttons) button.addEventListener("click", () => { status = button.dataset.filter; choose(); });
  search.addEventListener("input", choose);
  document.getElementById("reset").addEventListener("click", () => { status = search.value = ""; choose(); search.focus(); });

  const motion = document.getElementById("motion");
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
      const mark = document.createElement("b");
      mark.className = path.dataset.side;
      mark.textContent = `${path.dataset.side === "middle" ? "" : path.dataset.side[0].toUpperCase() + " "}${value === null ? "–" : value.toFixed(2)} `;
      return mark;
    });
    lane.querySelector(".readout").replaceChildren(...parts);
  }

  function follow(article) {
    const timeline = article.querySelector(".timeline");
    const frames = all("figure", timeline);
    const range = article.querySelector(".look input");
    const cursor = timeline.querySelector(".cursor");
    const claimed = timeline.querySelector(".claimed");
    const lanes = all(".lane", timeline);
    const legend = article.querySelector(".legend");
    const places = frames.map((frame) => Number(frame.dataset.at));

    function look(number) {
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
    function point(percent) {
      cursor.hidden = false;
      cursor.style.left = `${percent}%`;
      for (const lane of lanes) readOut(lane, percent, Number(legend.dataset.scale));
      if (!places.length) return;
      const distances = places.map((place) => Math.abs(place - percent));
      look(distances.indexOf(Math.min(...distances)));
    }
    const pointAt = (event) => {
      const frame = event.target.closest("figure");
      const box = timeline.getBoundingClientRect();
      point(frame ? Number(frame.dataset.at) : Math.min(100, Math.max(0, (100 * (event.clientX - box.left)) / box.width)));
    };
    for (const kind of ["pointermove", "pointerdown"]) timeline.addEventListener(kind, pointAt);
    if (range) range.addEventListener("input", () => point(places[range.value]));

    for (const row of all("tr[data-from]", article)) {
      row.addEventListener("pointerenter", () => {
        claimed.hidden = false;
        const [from, to] = [row.dataset.from, row.dataset.to].map((percent) => Math.min(100, Math.max(0, percent)));
        claimed.style.left = `${from}%`;
        claimed.style.width = `${Math.max(0.2, to - from)}%`;
      });
      row.addEventListener("pointerleave", () => { claimed.hidden = true; });
    }
  }
  articles.forEach(follow);
})();
