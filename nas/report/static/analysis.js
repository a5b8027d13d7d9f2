"use strict";
// What a search shows about its space, its progress and its time.

function bars(parent, entries, label, h = 22) {
  // entries: [text, mean, low, high, shown], shares of 1
  const left = 190, w = width(parent, 620), right = 64;
  const svg = picture(parent, w, entries.length * h + 6, label);
  const x = d3.scaleLinear([0, Math.max(0.05, d3.max(entries, (one) => one[3]))], [left, w - right]);
  entries.forEach(([text, mean, low, high, shown], index) => {
    const y = index * h;
    svg.append("text").attr("x", left - 6).attr("y", y + 15).attr("text-anchor", "end").text(text.length > 28 ? text.slice(0, 27) + "…" : text).append("title").text(text);
    svg.append("rect").attr("x", left).attr("y", y + 4).attr("height", h - 8).attr("width", Math.max(0, x(mean) - left)).attr("fill", "var(--done)").attr("opacity", 0.75);
    if (high > low) svg.append("line").attr("x1", x(low)).attr("x2", x(high)).attr("y1", y + h / 2).attr("y2", y + h / 2).attr("stroke", "var(--ink)").attr("stroke-width", 1.5);
    svg.append("text").attr("class", "soft").attr("x", w - right + 6).attr("y", y + 15).text(shown);
  });
}

function renderImportance() {
  if (!data.importance.length) return;
  const box = section("importance", "Which choices matter", "The share of the variation over the whole space that each open value explains alone (functional analysis of variance). For the quality it comes from the model of the search; lines are intervals of 95 % of its posterior. Costs are computed.");
  const halves = element("div", { class: "halves" });
  box.append(halves);
  for (const target of data.importance) {
    const figure = element("div", {}, element("h3", {}, nameOf(target.name).title));
    halves.append(figure);
    const entries = Object.entries(target.shares).map(([name, share]) => [name, ...share, (100 * share[0]).toFixed(0) + " %"]).sort((a, b) => b[1] - a[1]).slice(0, 10);
    bars(figure, entries, `importance for ${target.name}`);
    const rest = 1 - d3.sum(Object.values(target.shares), (share) => share[0]);
    if (rest > 0.005) figure.append(element("p", { class: "soft" }, `Combinations of values explain the remaining ${(100 * rest).toFixed(0)} %${Object.keys(target.shares).length > 10 ? " beyond these and the values that are not listed" : ""}.`));
  }
}

function renderContrasts() {
  if (!data.contrasts || !data.contrasts.length) return;
  const box = section("contrasts", "Choices at equal cost", `The error with one choice, divided by the error with another one, for networks of equal ${nameOf(data.contrast_cost).title.toLowerCase()}, by the model of the search. Below 1 the first is better; intervals of 95 % that include 1 are pale.`);
  const figure = element("div", {});
  box.append(figure);
  const h = 24, left = 330, w = width(figure, 860), rows = data.contrasts;
  const narrow = w < 560, offset = narrow ? 8 : left, row = narrow ? 40 : h;
  const svg = picture(figure, w, rows.length * row + 30, "error ratios of choices");
  const x = d3.scaleLog([Math.min(0.5, d3.min(rows, (one) => one.low)), Math.max(2, d3.max(rows, (one) => one.high))], [offset, w - 30]);
  svg.append("g").attr("class", "axis").attr("transform", `translate(0,${rows.length * row + 4})`).call(d3.axisBottom(x).ticks(5, "~g"));
  svg.append("line").attr("class", "bound").attr("x1", x(1)).attr("x2", x(1)).attr("y1", 0).attr("y2", rows.length * row);
  rows.forEach((one, index) => {
    const y = index * row + row - 10, sure = one.low > 1 || one.high < 1, shade = sure ? (one.high < 1 ? "var(--good)" : "var(--front)") : "var(--pale)";
    svg.append("text").attr("x", narrow ? 8 : left - 10).attr("y", narrow ? y - 12 : y + 4).attr("text-anchor", narrow ? "start" : "end").text(`${one.value}: ${one.choice} / ${one.against}`);
    svg.append("line").attr("x1", x(one.low)).attr("x2", x(one.high)).attr("y1", y).attr("y2", y).attr("stroke", shade).attr("stroke-width", 2.5);
    svg.append("circle").attr("cx", x(one.ratio)).attr("cy", y).attr("r", 4.5).attr("fill", shade).append("title").text(`${one.ratio.toFixed(2)}, from ${one.low.toFixed(2)} to ${one.high.toFixed(2)}`);
  });
}

function renderHistory() {
  const history = data.history;
  if (!history.trial.length) return;
  const box = section("history", "Progress");
  box.append(element("div", { class: "controls" }, element("label", {}, "over", options(state.over, [["trials", "trials"], ["minutes", "minutes of search"]], (value) => { state.over = value; renderHistory(); }))));
  const halves = element("div", { class: "halves" });
  box.append(halves);
  const across = state.over === "trials" ? history.trial.map((_, index) => index + 1) : history.minutes;
  const draw = (title, values, name) => {
    const figure = element("div", {}, element("h3", {}, title));
    halves.append(figure);
    const w = width(figure, 680), h = 220, margin = { left: 62, right: 12, top: 8, bottom: 36 };
    const svg = picture(figure, w, h, title);
    const end = state.over === "trials" ? across.length + 1 : 1.02 * d3.max(across) || 1;
    const x = d3.scaleLinear([0, end], [margin.left, w - margin.right]);
    const y = axisOf(name, values, [h - margin.bottom, margin.top]);
    svg.append("g").attr("class", "axis").attr("transform", `translate(0,${h - margin.bottom})`).call(d3.axisBottom(x).ticks(6));
    svg.append("g").attr("class", "axis").attr("transform", `translate(${margin.left},0)`).call(y.draw(d3.axisLeft(d3.scaleLinear())));
    svg.append("text").attr("class", "soft").attr("x", w / 2).attr("y", h - 4).attr("text-anchor", "middle").text(state.over);
    const points = values.map((value, index) => [x(across[index]), known(value) ? y.at(value) : NaN]).filter(([, at]) => Number.isFinite(at));
    if (points.length) points.push([x(end), points.at(-1)[1]]);
    svg.append("path").attr("fill", "none").attr("stroke", "var(--done)").attr("stroke-width", 2).attr("d", d3.line().curve(d3.curveStepAfter)(points));
  };
  draw("Hypervolume, share of the objectives' box", history.hypervolume, "trial");
  draw(`Best ${nameOf(data.quality).title.toLowerCase()}`, history.best, data.quality);
}

function renderTime() {
  const entries = Object.entries(data.worker_time);
  if (entries.length) {
    const box = section("time", "The workers' time", "Shares of the time of all workers since the search was started or last resumed. start: before the first job; end: no new work was left; wait: idle; confirm: other seeds of front members.");
    bars(box, entries.sort((a, b) => b[1] - a[1]).map(([name, share]) => [name, share, share, share, (100 * share).toFixed(1) + " %"]), "shares of the workers' time");
  }
  if (data.screened.length) {
    const box = section("screened", "Screened out", `${d3.sum(data.screened, (one) => one[1])} candidates were rejected by a limit before any training.`);
    box.append(element("table", {}, element("tbody", {}, ...data.screened.map(([reason, count]) => element("tr", {}, element("td", {}, reason), element("td", {}, String(count)))))));
  }
}

function renderConfirmed() {
  const found = data.confirmed;
  if (!found || !found.members.length) return;
  const quality = found.quality, { share } = nameOf(quality);
  const shown = (value) => (share ? `${d3.format("+.1f")(100 * value)}` : d3.format("+.3~g")(value));
  const gain = (value, error) => `${shown(value)}${known(error) ? " ± " + shown(error).slice(1) : ""}${share ? " points" : ""}`;
  const on = found.optimism, front = new Set(found.confirmed);
  const box = section("confirmed", "Confirmed on the test split", `Front members trained again with up to ${d3.max(found.members, (one) => one.seeds.length)} new seeds and judged on the test split, which the search does not use. `
    + `Optimism of the search: ${gain(on.validation, on.validation_se)} on the same validation examples, ${gain(on.test, on.test_se)} on the test split. `
    + "Members with a common letter do not differ significantly (paired tests over seeds and examples, Holm's correction). Front: no other member dominates it by the test means."
    + (found.missing ? ` ${found.missing} trainings are missing: nas confirm ${data.name} trains them.` : ""));
  const estimate = (one) => withError({ [quality]: one.mean, [quality + "_se"]: one.se }, quality);
  const lines = found.members.map((one) => [one.trial, data.labels[one.trial] || one.id, format(quality, one.search), estimate(one.validation), estimate(one.test), one.ties || "–", gain(one.optimism.test), front.has(one.trial) ? "yes" : "no", one.seeds.length + (one.failed ? ` (${one.failed} failed)` : ""), format("params", one.costs.params)]);
  const head = ["trial", "network", "search", "validation", "test", "ties", "optimism", "front", "seeds", nameOf("params").title];
  box.append(element("div", { class: "scroll" }, element("table", {}, element("thead", {}, element("tr", {}, ...head.map((name, index) => element("th", { class: index === 1 ? "text" : null }, name)))),
    element("tbody", {}, ...lines.map((cells) => element("tr", { class: "row", tabindex: 0, "data-trial": cells[0], onclick: () => select(cells[0]) }, ...cells.map((text, index) => element("td", { class: index === 1 ? "text" : null }, String(text)))))))));
}

function renderFacts() {
  const box = section("facts", data.kind === "network" ? "The training" : "The search");
  box.append(element("table", { class: "facts" }, element("tbody", {}, ...data.facts.map(([name, text]) => element("tr", {}, element("td", {}, name), element("td", { class: "text" }, text))))));
  if (data.picture) box.append(element("h3", {}, data.picture.title), element("img", { src: data.picture.source, alt: data.picture.title, style: "max-width:100%" }));
}

function renderAll() {
  makeRows();
  if (data.kind === "network") { renderNetwork(); return; }
  const costs = data.names.filter((one) => data.objectives.includes(one.name) && one.name !== data.quality);
  if (!(state.x in data.columns)) state.x = costs.length ? costs[0].name : "params" in data.columns ? "params" : "trial";
  if (!(state.y in data.columns)) state.y = data.quality;
  for (const name of ["answers", "front", "confirmed", "table", "parallel", "importance", "contrasts", "history", "time", "screened", "facts"]) {
    if (!document.getElementById(name)) document.querySelector("main").append(element("section", { id: name }));
  }
  renderHeader();
  renderAnswers();
  if (!known(state.selected) && data.answers.length) state.selected = (data.answers.find((one) => one.rules.includes("smallest-within 1%")) || data.answers[0]).trial;
  renderFront();
  renderConfirmed();
  renderTable();
  renderParallel();
  renderImportance();
  renderContrasts();
  renderHistory();
  renderTime();
  renderFacts();
  renderSelection();
}

function redrawKeepingPlace() {
  const [left, top, focused] = [scrollX, scrollY, document.activeElement && document.activeElement.id];
  const cursor = focused === "filter" ? document.activeElement.selectionStart : 0;
  renderAll();
  if (focused === "filter") { document.getElementById("filter").focus(); document.getElementById("filter").setSelectionRange(cursor, cursor); }
  scrollTo(left, top);
}

const isRunning = () => data.state === "running";

async function poll() {
  // Only a page that `nas ui` serves has an address from which newer data comes.
  try {
    const answer = await fetch(data.poll, { headers: { "If-None-Match": data.version } });
    if (answer.status === 200) { data = await answer.json(); redrawKeepingPlace(); }
    document.body.dataset.polled = Date.now();
  } catch { document.body.dataset.polled = "failed"; }
  if (isRunning()) setTimeout(poll, data.poll_ms);
}

function renderNetwork() {
  // The page of one network: the same card, without anything to select.
  renderHeader();
  state.selected = rows[0].trial;
  const box = section("network", "The network");
  box.append(element("div", { id: "card", class: "panel wide" }));
  renderCard();
  renderFacts();
}

async function start() {
  data = await readData();
  const chosen = location.hash.match(/^#trial-(\d+)$/);
  if (chosen) state.selected = +chosen[1];
  renderAll();
  let drawnWidth = document.documentElement.clientWidth;
  addEventListener("resize", () => {
    if (document.documentElement.clientWidth === drawnWidth) return;
    drawnWidth = document.documentElement.clientWidth;
    redrawKeepingPlace();
  });
  if (data.poll && isRunning()) setTimeout(poll, data.poll_ms);
  document.body.dataset.drawn = "yes";
}

start();
