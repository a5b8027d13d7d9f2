"use strict";
// The answers, the figure of the front, the table, and parallel coordinates.

function renderHeader() {
  document.title = `${data.name} · nas`;
  const header = document.querySelector("header");
  const counts = d3.rollup(rows, (group) => group.length, (row) => row.state);
  const parts = [...counts].map(([name, count]) => `${count} ${name === "stopped" ? "stopped early" : name}`);
  const trials = data.kind === "network" ? "" : ` ${rows.length} trials${parts.length ? ": " + parts.join(", ") : ""}.`;
  header.replaceChildren(...[
    element("h1", {}, data.name, " ", element("span", { class: `badge ${data.state}` }, data.state)),
    element("p", { class: "soft" }, `${data.subtitle}.${trials} Made ${data.made}.`),
    data.mlflow ? element("p", {}, element("a", { href: data.mlflow, target: "_blank", rel: "noopener" }, "Open in MLflow"), ...data.others.flatMap((name) => [" · ", element("a", { href: "/searches/" + encodeURIComponent(name) }, name)])) : null,
    ...data.notices.map((text) => element("p", { class: "notice" }, text)),
  ].filter(Boolean));
}

function confirmedText(trial) {
  const found = data.confirmed && data.confirmed.members.find((one) => one.trial === trial);
  if (!found) return null;
  const quality = data.confirmed.quality;
  return element("div", {}, `test split, ${found.seeds.length} new seeds: ${withError({ [quality]: found.test.mean, [quality + "_se"]: found.test.se }, quality)}`);
}

function renderAnswers() {
  const box = section("answers", "Answers", rows.length && !data.answers.length ? "No network is trained to its full length yet." : "");
  const grid = element("div", { class: "answers" });
  for (const answer of data.answers) {
    const row = byTrial(answer.trial);
    const panel = element("div", { class: "panel", tabindex: 0, role: "button", onclick: () => select(row.trial), onkeydown: (event) => { if (event.key === "Enter" && event.target === panel) select(row.trial); } },
      element("div", { class: "soft" }, answer.titles.join(", ")),
      element("div", { class: "big" }, withError(row, data.quality)),
      element("div", {}, data.names.filter((one) => !one.title.startsWith("Validation") && known(row[one.name]) && (data.objectives.includes(one.name) || one.name === "params")).map((one) => (one.name === "params" ? format(one.name, row.params) + " parameters" : format(one.name, row[one.name]))).join(" · ")),
      confirmedText(row.trial),
      element("div", { class: "soft" }, `trial ${row.trial}${row.trainings > 1 ? `, mean of ${row.trainings} trainings` : ""}`),
    );
    const drawing = element("div", {});
    panel.append(drawing, command(answer.command));
    grid.append(panel);
    if (data.networks[row.trial]) drawNetwork(drawing, data.networks[row.trial], 300);
  }
  box.append(grid);
}

function options(selected, entries, change) {
  const made = element("select", { onchange: (event) => change(event.target.value) });
  for (const [value, text] of entries) made.append(element("option", { value, selected: value === selected }, text));
  return made;
}

function colourOf() {
  const value = data.values.findIndex((one) => one.name === state.colour);
  if (value >= 0) {
    const choices = data.values[value].choices;
    return { legend: choices.map((choice, index) => [String(choice), CATEGORIES[index % CATEGORIES.length]]), of: (row) => (row.choice[value] < 0 ? "var(--pale)" : CATEGORIES[row.choice[value] % CATEGORIES.length]), value };
  }
  if (state.colour !== "state") {
    const numbers = rows.map((row) => row[state.colour]).filter((one) => known(one) && one > 0);
    const scale = d3.scaleSequentialLog(d3.extent(numbers), d3.interpolateViridis);
    return { legend: d3.extent(numbers).map((one) => [format(state.colour, one), scale(one)]), of: (row) => (row[state.colour] > 0 ? scale(row[state.colour]) : "var(--pale)") };
  }
  const colours = { front: "var(--front)", dominated: "var(--done)" };
  return { of: (row) => colours[row.group] || "var(--pale)" };
}

function stairs(points, xAxis, yAxis, xName, yName) {
  // Non-dominated points in the figure: costs downwards, qualities upwards.
  const sign = (name) => (nameOf(name).share ? -1 : 1);
  const sorted = [...points].sort((a, b) => sign(xName) * (a[xName] - b[xName]) || sign(yName) * (a[yName] - b[yName]));
  const best = [];
  for (const row of sorted) if (!best.length || sign(yName) * (row[yName] - best.at(-1)[yName]) < 0) best.push(row);
  return d3.line().x((row) => xAxis.at(row[xName])).y((row) => yAxis.at(row[yName])).curve(d3.curveStepAfter)(best);
}

function renderFigure() {
  const node = document.getElementById("figure");
  node.replaceChildren();
  const w = width(node), h = Math.max(330, Math.min(560, w * 0.62));
  const margin = { left: 66, right: 16, top: 10, bottom: 44 };
  const chosen = filtered();
  const drawn = rows.filter((row) => known(row[state.x]) && known(row[state.y]) && !state.hidden.has(row.group));
  const inFilter = new Set(chosen.rows.map((row) => row.trial));
  const svg = picture(node, w, h, `${nameOf(state.y).title} against ${nameOf(state.x).title} of ${drawn.length} trials`);
  if (!drawn.length) { svg.append("text").attr("x", w / 2).attr("y", h / 2).attr("text-anchor", "middle").text("no trials yet"); return; }
  const xAxis = axisOf(state.x, drawn.map((row) => row[state.x]), [margin.left, w - margin.right]);
  const yAxis = axisOf(state.y, drawn.map((row) => row[state.y]), [h - margin.bottom, margin.top]);
  svg.append("g").attr("class", "axis").attr("transform", `translate(0,${h - margin.bottom})`).call(xAxis.draw(d3.axisBottom(d3.scaleLinear()))); 
  svg.append("g").attr("class", "axis").attr("transform", `translate(${margin.left},0)`).call(yAxis.draw(d3.axisLeft(d3.scaleLinear())));
  svg.append("text").attr("x", (w + margin.left) / 2).attr("y", h - 6).attr("text-anchor", "middle").text(nameOf(state.x).title);
  svg.append("text").attr("transform", `translate(14,${h / 2}) rotate(-90)`).attr("text-anchor", "middle").text(nameOf(state.y).title);
  const bound = (name, value, text) => {
    if (name === state.x && xAxis.at(value) >= margin.left && xAxis.at(value) <= w - margin.right) {
      svg.append("line").attr("class", "bound").attr("x1", xAxis.at(value)).attr("x2", xAxis.at(value)).attr("y1", margin.top).attr("y2", h - margin.bottom);
      svg.append("text").attr("class", "soft").attr("x", xAxis.at(value) - 4).attr("y", margin.top + 10).attr("text-anchor", "end").text(text);
    }
    if (name === state.y && yAxis.at(value) >= margin.top && yAxis.at(value) <= h - margin.bottom) {
      svg.append("line").attr("class", "bound").attr("y1", yAxis.at(value)).attr("y2", yAxis.at(value)).attr("x1", margin.left).attr("x2", w - margin.right);
      svg.append("text").attr("class", "soft").attr("x", w - margin.right).attr("y", yAxis.at(value) - 4).attr("text-anchor", "end").text(text);
    }
  };
  for (const name in data.limits) bound(name, data.limits[name], `limit ${format(name, data.limits[name])}`);
  if (known(data.floor)) bound(data.quality, data.floor, `quality floor ${format(data.quality, data.floor)}`);
  const colour = colourOf();
  const useful = drawn.filter((row) => row.state === "complete" && !row.below);
  if (colour.value !== undefined) {
    for (const [index, members] of d3.group(useful, (row) => row.choice[colour.value])) {
      if (index >= 0) svg.append("path").attr("class", "stairs").style("stroke", CATEGORIES[index % CATEGORIES.length]).attr("d", stairs(members, xAxis, yAxis, state.x, state.y));
    }
  } else svg.append("path").attr("class", "stairs").attr("d", stairs(useful, xAxis, yAxis, state.x, state.y));
  const order = { failed: 0, running: 0, stopped: 0, "below the floor": 1, dominated: 2, front: 3 };
  drawn.sort((a, b) => order[a.group] - order[b.group]);
  const shape = (row) => (row.start ? d3.symbolDiamond : row.state === "stopped" ? d3.symbolTimes : d3.symbolCircle);
  const size = (row) => (row.front ? 110 : row.start ? 80 : row.state === "complete" ? 48 : 26);
  svg.append("g").selectAll("path").data(drawn, (row) => row.trial).join("path")
    .attr("class", "point").attr("id", (row) => "point-" + row.trial)
    .attr("transform", (row) => `translate(${xAxis.at(row[state.x])},${yAxis.at(row[state.y])})`)
    .attr("d", (row) => d3.symbol(shape(row), size(row))())
    .attr("fill", (row) => (row.state === "stopped" ? "none" : colour.of(row)))
    .attr("stroke", (row) => (row.state === "stopped" ? (state.colour === "state" ? "var(--pale)" : colour.of(row)) : row.start ? "var(--ink)" : "var(--back)"))
    .attr("stroke-width", (row) => (row.state === "stopped" ? 1.4 : 1))
    .attr("opacity", (row) => (!inFilter.has(row.trial) ? 0.12 : row.front || row.start ? 1 : 0.5))
    .on("click", (_, row) => select(row.trial))
    .on("mousemove", (event, row) => showTip(event, [`trial ${row.trial} · ${row.group}`, data.labels[row.trial] || row.id, `${nameOf(state.y).title}: ${withError(row, state.y)}`, `${nameOf(state.x).title}: ${format(state.x, row[state.x])}`, `${row.epochs} epochs`]))
    .on("mouseleave", hideTip);
  const legend = colour.legend || [["front", "var(--front)"], ["dominated", "var(--done)"], ["below the quality floor, or stopped early (×)", "var(--pale)"]];
  node.append(element("div", { class: "controls soft" }, ...legend.map(([text, shade]) => element("span", {}, element("span", { style: `color:${shade}` }, "● "), text)), ...(data.start.length ? [element("span", {}, "◆ start model")] : [])));
  const said = document.getElementById("filter-problem");
  said.hidden = !chosen.problems.length;
  said.textContent = `Not understood: ${chosen.problems.join(", ")}. Write for example: params < 50000 and accuracy >= 0.9`;
}

function renderFront() {
  const box = section("front", "Pareto front", "Costs are on log axes, and so is the error of a quality: 90, 99 and 99.9 % are evenly spaced. Select a point to see its network.");
  const axes = data.names.map((one) => [one.name, one.title]);
  const all = [...axes, ["epochs", "Epochs"], ["minutes", "Training minutes"], ["trial", "Trial"]];
  const colours = [["state", "state"], ...data.values.filter((one) => one.choices.length > 1 && one.choices.length <= CATEGORIES.length).map((one) => [one.name, one.name]), ...axes.filter(([name]) => !nameOf(name).share)];
  const redraw = () => { renderFigure(); renderTable(); renderParallel(); markSelected(); };
  box.append(element("div", { class: "controls" },
    element("label", {}, "across", options(state.x, all, (value) => { state.x = value; redraw(); })),
    element("label", {}, "up", options(state.y, all, (value) => { state.y = value; redraw(); })),
    element("label", {}, "colour", options(state.colour, colours, (value) => { state.colour = value; redraw(); })),
    ...["dominated", "below the floor", "stopped"].map((group) => element("label", {}, element("input", { type: "checkbox", checked: !state.hidden.has(group), onchange: (event) => { if (event.target.checked) state.hidden.delete(group); else state.hidden.add(group); redraw(); } }), group === "stopped" ? "stopped early" : group)),
    element("label", {}, "filter", element("input", { id: "filter", type: "search", value: state.filter, placeholder: "params < 50000 and accuracy >= 0.9", oninput: (event) => { state.filter = event.target.value; redraw(); } })),
  ));
  box.append(element("p", { id: "filter-problem", class: "notice", hidden: true }));
  box.append(element("div", { class: "split" }, element("div", { id: "figure" }), element("div", { id: "card", class: "panel" })));
  box.append(element("div", { id: "comparison" }));
  renderFigure();
}

function markSelected() {
  d3.selectAll(".point").classed("selected", (row) => row && (row.trial === state.selected || row.trial === state.pinned));
  d3.selectAll("tr.row").classed("chosen", function () { return +this.dataset.trial === state.selected; });
}

function renderTable() {
  const box = section("table", "Networks");
  const found = filtered();
  const columns = ["trial", ...data.names.filter((one) => !one.title.startsWith("Validation") || data.objectives.includes(one.name)).map((one) => one.name), "epochs", "group"];
  const [by, direction] = state.sort;
  const sorted = [...found.rows];
  if (by) sorted.sort((a, b) => direction * d3.ascending(a[by], b[by]));
  else {
    const place = new Map(data.front.map((trial, index) => [trial, index]));
    sorted.sort((a, b) => d3.ascending(place.get(a.trial) ?? 1e9, place.get(b.trial) ?? 1e9) || d3.ascending(a.trial, b.trial));
  }
  const titles = { trial: "Trial", epochs: "Epochs", group: "State", accuracy: "Accuracy", params: "Parameters", flops: "FLOPs", latency_ms: "Latency", size_bytes: "File", peak_bytes: "Memory" };
  const head = element("tr", {}, ...columns.map((name) => element("th", { class: name === "group" ? "text" : "", "aria-sort": by === name ? (direction > 0 ? "ascending" : "descending") : "none" },
    element("button", { type: "button", onclick: () => { state.sort = by === name ? [name, -direction] : [name, nameOf(name).share ? -1 : 1]; renderTable(); markSelected(); } }, (titles[name] || shortTitle(name)) + (by === name ? (direction > 0 ? " ▲" : " ▼") : "")))), element("th", { class: "text" }, "Network"));
  const body = element("tbody", {}, ...sorted.slice(0, state.count).map((row) => element("tr", { class: "row", tabindex: 0, "data-trial": row.trial, onclick: () => select(row.trial), onkeydown: (event) => { if (event.key === "Enter") select(row.trial); } },
    ...columns.map((name) => element("td", { class: name === "group" ? "text" : "" }, name === "group" ? row.group : name === data.quality ? withError(row, name) : name === "trial" ? String(row.trial) : format(name, row[name]))), element("td", { class: "text" }, data.labels[row.trial] || row.id))));
  box.append(element("p", { class: "soft" }, `${sorted.length} of ${rows.length} trials; the filter and the selection are those of the figure.`), element("div", { class: "scroll" }, element("table", {}, element("thead", {}, head), body)));
  if (sorted.length > state.count) box.append(element("button", { type: "button", onclick: () => { state.count *= 4; renderTable(); markSelected(); } }, `show more of the ${sorted.length}`));
}

function renderParallel() {
  const box = section("parallel", "Open values", "A line is a network that is trained in full, those of the front in colour. Drag along an axis to select a range; a click on the axis removes it.");
  const values = data.values.map((one, index) => ({ ...one, index })).filter((one) => new Set(data.settings[one.index].filter((choice) => choice >= 0)).size > 1);
  const complete = rows.filter((row) => row.state === "complete" && known(row[data.quality]) && known(row.params));
  if (!values.length || !complete.length) { box.append(element("p", {}, "No complete trials yet.")); return; }
  const scroll = element("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "parallel coordinates" });
  box.append(scroll);
  const axes = [...values.map((one) => ({ key: "value " + one.index, title: one.name, one })), { key: "params", title: "Parameters" }, { key: data.quality, title: shortTitle(data.quality) }];
  const h = 330, top = 76, bottom = 14, gap = Math.max(74, (width(scroll) - 60) / Math.max(1, axes.length - 1)), w = 60 + gap * (axes.length - 1) + 40;
  const svg = picture(scroll, w, h, "the open values of each network as parallel coordinates").style("max-width", "none");
  axes.forEach((axis, index) => {
    axis.left = 40 + gap * index;
    if (axis.one) {
      const scale = d3.scalePoint([-1, ...axis.one.choices.keys()].filter((choice) => choice >= 0 || data.settings[axis.one.index].includes(-1)), [h - bottom, top]);
      axis.at = (row) => scale(row.choice[axis.one.index]);
      axis.ticks = scale.domain().map((choice) => [choice < 0 ? "–" : String(axis.one.choices[choice]), scale(choice)]);
    } else {
      const scale = axisOf(axis.key, complete.map((row) => row[axis.key]), [h - bottom, top]);
      axis.at = (row) => scale.at(row[axis.key]);
      axis.ticks = d3.extent(complete, (row) => row[axis.key]).map((value) => [format(axis.key, value), scale.at(value)]);
    }
  });
  const inFilter = new Set(filtered().rows.map((row) => row.trial));
  const line = (row) => d3.line()(axes.map((axis) => [axis.left, axis.at(row)]));
  const shown = complete.filter((row) => !state.hidden.has(row.group)).sort((a, b) => a.front - b.front).slice(-600);
  svg.append("g").selectAll("path").data(shown).join("path").attr("class", "point").attr("fill", "none").attr("d", line)
    .attr("stroke", (row) => (row.front ? "var(--front)" : "var(--pale)")).attr("stroke-width", (row) => (row.front ? 1.8 : 1)).attr("opacity", (row) => (inFilter.has(row.trial) ? (row.front ? 0.9 : 0.5) : 0.06))
    .on("click", (_, row) => select(row.trial)).on("mousemove", (event, row) => showTip(event, [`trial ${row.trial}`, data.labels[row.trial] || row.id, withError(row, data.quality)])).on("mouseleave", hideTip);
  for (const axis of axes) {
    const group = svg.append("g").attr("transform", `translate(${axis.left},0)`);
    group.append("line").attr("y1", top).attr("y2", h - bottom).attr("stroke", "var(--soft)");
    group.append("text").attr("transform", `translate(-2,${top - 12}) rotate(-28)`).text(axis.title.slice(0, 24)).append("title").text(axis.title);
    for (const [text, y] of axis.ticks) group.append("text").attr("class", "soft").attr("x", -5).attr("y", y + 4).attr("text-anchor", "end").style("font-size", "10px").text(text.length > 9 ? text.slice(0, 8) + "…" : text).append("title").text(text);
    const brush = d3.brushY().extent([[-8, top - 4], [8, h - bottom + 4]]).on("end", (event) => {
      if (!event.sourceEvent) return;
      if (event.selection) { const [low, high] = event.selection; state.brushes.set(axis.key, (row) => { const y = row.state === "complete" && known(row[data.quality]) ? axis.at(row) : NaN; return y >= low && y <= high; }); state.spans.set(axis.key, event.selection); }
      else { state.brushes.delete(axis.key); state.spans.delete(axis.key); }
      renderFigure(); renderTable(); renderParallel(); markSelected();
    });
    const node = group.append("g").call(brush);
    if (state.spans.has(axis.key)) node.call(brush.move, state.spans.get(axis.key));
  }
}
