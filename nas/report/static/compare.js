"use strict";
// The page of several searches: their fronts in one figure, and what each of them reached.

const shade = (name) => CATEGORIES[data.comparison.searches.findIndex((one) => one.name === name) % CATEGORIES.length];
const axes = () => data.names.filter((one) => data.objectives.includes(one.name) || ["params", "flops"].includes(one.name));

function comparedRows() {
  return data.columns.trial.map((trial, index) => {
    const row = { trial, search: data.search[index], front: data.front[index], joint: data.joint[index], label: data.labels[index] };
    for (const name in data.columns) row[name] = data.columns[name][index];
    return row;
  });
}

function renderCompared() {
  const box = section("fronts", "Fronts", "Filled: on the front of its search; with a rim: on the joint front; pale: dominated in its search. Hide a search by its name.");
  const choice = (key, entries) => options(state[key], entries.map((one) => [one.name, one.title]), (value) => { state[key] = value; renderCompared(); });
  box.append(element("div", { class: "controls" }, element("label", {}, "across", choice("x", axes())), element("label", {}, "up", choice("y", axes())),
    ...data.comparison.searches.map((one) => element("label", {}, element("input", { type: "checkbox", checked: !state.hidden.has(one.name), onchange: () => { if (!state.hidden.delete(one.name)) state.hidden.add(one.name); renderCompared(); } }), element("span", { style: `color:${shade(one.name)}` }, "● " + one.name)))));
  const node = element("div", { id: "figure" });
  box.append(node);
  const all = comparedRows().filter((row) => known(row[state.x]) && known(row[state.y]));
  const drawn = all.filter((row) => !state.hidden.has(row.search)).sort((a, b) => a.front - b.front || a.joint - b.joint);
  const w = width(node), h = Math.max(330, Math.min(600, w * 0.55)), margin = { left: 66, right: 16, top: 10, bottom: 44 };
  const svg = picture(node, w, h, `${nameOf(state.y).title} against ${nameOf(state.x).title} of ${drawn.length} networks`);
  const xAxis = axisOf(state.x, all.map((row) => row[state.x]), [margin.left, w - margin.right]);
  const yAxis = axisOf(state.y, all.map((row) => row[state.y]), [h - margin.bottom, margin.top]);
  svg.append("g").attr("class", "axis").attr("transform", `translate(0,${h - margin.bottom})`).call(xAxis.draw(d3.axisBottom(d3.scaleLinear())));
  svg.append("g").attr("class", "axis").attr("transform", `translate(${margin.left},0)`).call(yAxis.draw(d3.axisLeft(d3.scaleLinear())));
  svg.append("text").attr("x", (w + margin.left) / 2).attr("y", h - 6).attr("text-anchor", "middle").text(nameOf(state.x).title);
  svg.append("text").attr("transform", `translate(14,${h / 2}) rotate(-90)`).attr("text-anchor", "middle").text(nameOf(state.y).title);
  for (const [name, members] of d3.group(drawn.filter((row) => row.front), (row) => row.search)) {
    svg.append("path").attr("class", "stairs").style("stroke", shade(name)).attr("d", stairs(members, xAxis, yAxis, state.x, state.y));
  }
  svg.append("g").selectAll("circle").data(drawn).join("circle").attr("class", "point")
    .attr("cx", (row) => xAxis.at(row[state.x])).attr("cy", (row) => yAxis.at(row[state.y])).attr("r", (row) => (row.front ? 5.5 : 3.5))
    .attr("fill", (row) => shade(row.search)).attr("opacity", (row) => (row.front ? 1 : 0.3))
    .attr("stroke", (row) => (row.joint ? "var(--ink)" : "none")).attr("stroke-width", 2)
    .on("mousemove", (event, row) => showTip(event, [`${row.search}:${row.trial}${row.joint ? " · joint front" : row.front ? " · front" : ""}`, row.label, ...axes().map((one) => `${one.title}: ${withError(row, one.name)}`)]))
    .on("mouseleave", hideTip);
}

function renderSearches() {
  const found = data.comparison;
  const pick = (row) => (row ? `trial ${row.trial}: ${format(data.quality, row[data.quality])}, ${format("params", row.params)} parameters` : "–");
  const box = section("searches", "Searches", `Hypervolumes are shares of one box, that of all searches together; the joint front has ${found.hypervolume.toFixed(3)}. Smallest: the fewest parameters within 1 point of the best of all searches.`);
  const head = ["search", "space", "engine", "split seed", "epochs", "trials", "hypervolume", "front", "of the joint front", "best", "smallest within 1 point"];
  box.append(plainTable(head, found.searches.map((one) => [one.name, one.space, one.engine, one.split_seed, one.epochs, one.trials, one.hypervolume.toFixed(3), one.front.length, `${one.on_joint_front} of ${found.joint_front.length}`, pick(one.best), pick(one.smallest)])));
  for (const line of found.warnings) box.append(element("p", { class: "notice" }, line));
  const members = comparedRows().filter((row) => row.joint).sort((a, b) => d3.ascending(a.params, b.params));
  section("joint", "Joint front").append(plainTable(["search", "trial", ...axes().map((one) => one.title), "network"], members.map((row) => [row.search, row.trial, ...axes().map((one) => withError(row, one.name)), row.label])));
}

function plainTable(head, lines) {
  const isText = (index) => lines.some((cells) => /^[a-z]/i.test(String(cells[index])));
  const cell = (tag, text, index) => element(tag, { class: isText(index) ? "text" : null }, String(text));
  return element("div", { class: "scroll" }, element("table", {}, element("thead", {}, element("tr", {}, ...head.map((text, index) => cell("th", text, index)))),
    element("tbody", {}, ...lines.map((cells) => element("tr", {}, ...cells.map((text, index) => cell("td", text, index)))))));
}

function renderComparison() {
  document.querySelector("header").replaceChildren(element("h1", {}, `Compared: ${data.name}`));
  state.x = axes().find((one) => one.name !== data.quality).name;
  state.y = data.quality;
  renderCompared();
  renderSearches();
}

async function start() {
  data = await readData();
  renderComparison();
  addEventListener("resize", renderCompared);
  document.body.dataset.drawn = "yes";
}

start();
