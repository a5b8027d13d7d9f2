"use strict";
// One network: its drawing, costs by stage, learning curve, confusion matrix and errors; two side by side.

const single = () => data.kind === "network";
const KINDS = { standard: "#0072B2", separable: "#009E73", depthwise: "#56B4E9", inverted: "#CC79A7", transposed: "#E69F00", "": "#7F8C97" };

function drawNetwork(parent, network, most) {
  const boxes = network.boxes;
  const w = width(parent, most), h = 74, gap = 5;
  const side = d3.scaleSqrt([1, d3.max(boxes, (box) => (box.shape.length > 1 ? box.shape[0] : 1))], [9, 40]);
  const channels = d3.scaleLog([1, Math.max(2, d3.max(boxes, (box) => box.shape.at(-1)))], [0.5, 1]);
  const share = (w - gap * (boxes.length - 1)) / d3.sum(boxes, (box) => channels(box.shape.at(-1)) * (box.convs > 1 ? 1.3 : 1));
  const svg = picture(parent, w, h, "the blocks of the network, from input to output");
  let left = 0;
  for (const box of boxes) {
    const wide = Math.max(7, share * channels(box.shape.at(-1)) * (box.convs > 1 ? 1.3 : 1) - 1);
    const high = box.shape.length > 1 ? side(box.shape[0]) : 9;
    const middle = 36, group = svg.append("g");
    const words = box.stage === "input" ? "input" : `${box.stage}: ${box.convs ? `${box.convs} x ${box.kind} ${box.kernel}x${box.kernel}` : "dense"}${box.marks.length ? ", " + box.marks.join(", ") : ""}`;
    group.append("rect").attr("x", left).attr("y", middle - high / 2).attr("width", wide).attr("height", high).attr("rx", 2)
      .attr("fill", box.stage === "input" ? "none" : KINDS[box.kind] || KINDS[""]).attr("stroke", box.stage === "input" ? "var(--soft)" : "none");
    for (let index = 1; index < box.convs; index++) {
      const x = left + (wide * index) / box.convs;
      group.append("line").attr("x1", x).attr("x2", x).attr("y1", middle - high / 2).attr("y2", middle + high / 2).attr("stroke", "var(--back)");
    }
    if (box.marks.includes("residual")) group.append("path").attr("d", `M${left},${middle - high / 2 - 2} q${wide / 2},-13 ${wide},0`).attr("fill", "none").attr("stroke", "var(--ink)").attr("stroke-width", 1.4);
    if (box.marks.includes("skip")) group.append("circle").attr("cx", left + wide / 2).attr("cy", middle - high / 2 - 5).attr("r", 2.5).attr("fill", "var(--ink)");
    if (wide >= 15) group.append("text").attr("class", "soft").attr("x", left + wide / 2).attr("y", h - 4).attr("text-anchor", "middle").style("font-size", "10px").text(box.shape.at(-1));
    group.append("rect").attr("x", left).attr("y", 0).attr("width", wide + gap).attr("height", h).attr("fill", "transparent")
      .on("mousemove", (event) => showTip(event, [words, `output ${box.shape.join("x")}`])).on("mouseleave", hideTip);
    left += wide + gap;
  }
}

function stageTable(network) {
  const params = d3.sum(network.stages, (one) => one.params) || 1, flops = d3.sum(network.stages, (one) => one.flops) || 1;
  const bar = (part) => element("span", { style: `display:inline-block;height:9px;width:${Math.round(70 * part)}px;background:var(--done);margin-right:6px` });
  return element("div", { class: "scroll" }, element("table", {}, element("thead", {}, element("tr", {}, element("th", {}, "stage"), element("th", {}, "parameters"), element("th", {}, "FLOPs"))),
    element("tbody", {}, ...network.stages.map((one) => element("tr", {}, element("td", {}, one.name), element("td", {}, bar(one.params / params), format("params", one.params)), element("td", {}, bar(one.flops / flops), format("flops", one.flops)))))));
}

function drawCurve(parent, curve) {
  const w = width(parent, 520), h = 190, margin = { left: 46, right: 46, top: 8, bottom: 34 };
  const svg = picture(parent, w, h, "learning curve");
  const x = d3.scaleLinear([1, Math.max(2, curve.epoch.at(-1))], [margin.left, w - margin.right]);
  const losses = [...curve.loss, ...(curve.val_loss || [])].filter((one) => one > 0);
  const y = d3.scaleLog(losses.length ? [d3.min(losses), d3.max(losses)] : [0.1, 1], [h - margin.bottom, margin.top]).nice();
  svg.append("g").attr("class", "axis").attr("transform", `translate(0,${h - margin.bottom})`).call(d3.axisBottom(x).tickValues(x.ticks(6).filter(Number.isInteger)).tickFormat(d3.format("d")));
  svg.append("g").attr("class", "axis").attr("transform", `translate(${margin.left},0)`).call(d3.axisLeft(y).ticks(4, "~g"));
  svg.append("text").attr("class", "soft").attr("x", w / 2).attr("y", h - 4).attr("text-anchor", "middle").text("epoch");
  const draw = (scale, values, shade, dots) => {
    const points = values.map((value, index) => [x(curve.epoch[index]), known(value) ? scale(value) : NaN]).filter(([, at]) => Number.isFinite(at));
    svg.append("path").attr("fill", "none").attr("stroke", shade).attr("stroke-width", 1.6).attr("stroke-dasharray", dots ? "3 3" : null).attr("d", d3.line()(points));
    if (dots) svg.append("g").selectAll("circle").data(points).join("circle").attr("cx", ([at]) => at).attr("cy", ([, at]) => at).attr("r", 3).attr("fill", shade);
  };
  draw(y, curve.loss, "var(--soft)", false);
  if (curve.val_loss) draw(y, curve.val_loss, "var(--done)", true);
  const quality = "val_" + data.quality.replace(/^val_/, "");
  if (curve[quality] && quality !== "val_loss") {
    const scale = axisOf(data.quality, curve[quality], [h - margin.bottom, margin.top]);
    svg.append("g").attr("class", "axis").attr("transform", `translate(${w - margin.right},0)`).call(scale.draw(d3.axisRight(d3.scaleLinear())));
    draw(scale.at, curve[quality], "var(--front)", true);
  }
  parent.append(element("p", { class: "soft" }, element("span", {}, "— training loss "), element("span", { style: "color:var(--done)" }, "● validation loss "), element("span", { style: "color:var(--front)" }, `● ${nameOf(data.quality).title.toLowerCase()}, right`)));
}

function drawConfusion(parent, matrix) {
  const names = data.classes, n = names.length;
  const counts = matrix.map((row) => d3.sum(row));
  if (n > 25) {
    const cells = matrix.flatMap((row, a) => row.map((count, b) => ({ a, b, count }))).filter((cell) => cell.a !== cell.b && cell.count).sort((a, b) => b.count - a.count).slice(0, 15);
    parent.append(element("table", {}, element("tbody", {}, ...cells.map((cell) => element("tr", {}, element("td", {}, `${names[cell.a]} taken for ${names[cell.b]}`), element("td", {}, `${cell.count} of ${counts[cell.a]}`))))));
    return;
  }
  const left = Math.min(120, 12 + 7 * d3.max(names, (name) => Math.min(16, name.length)));
  const w = width(parent, 460), cell = Math.min(34, (w - left - 4) / n), top = Math.min(96, left);
  const svg = picture(parent, left + cell * n + 4, top + cell * n + 4, "confusion matrix, true classes in rows");
  const short = (name) => (name.length > 16 ? name.slice(0, 15) + "…" : name);
  names.forEach((name, index) => {
    svg.append("text").attr("class", "soft").attr("x", left - 5).attr("y", top + cell * (index + 0.65)).attr("text-anchor", "end").text(short(name));
    svg.append("text").attr("class", "soft").attr("transform", `translate(${left + cell * (index + 0.65)},${top - 5}) rotate(-60)`).text(short(name));
  });
  matrix.forEach((row, a) => row.forEach((count, b) => {
    const part = count / Math.max(1, counts[a]);
    const group = svg.append("g").attr("transform", `translate(${left + b * cell},${top + a * cell})`);
    group.append("rect").attr("width", cell - 1).attr("height", cell - 1).attr("fill", a === b ? "var(--good)" : "var(--front)").attr("fill-opacity", count ? (a === b ? 0.12 + 0.45 * part : 0.2 + 0.8 * Math.min(1, 3 * part)) : 0.05);
    if (count && cell >= 15) group.append("text").attr("x", cell / 2).attr("y", cell * 0.68).attr("text-anchor", "middle").style("font-size", "10.5px").text(count);
    group.append("title").text(`${names[a]} answered as ${names[b]}: ${count} of ${counts[a]}`);
  }));
}

function drawNumbers(parent, numbers) {
  for (const one of numbers) {
    const w = width(parent, 300), h = 240, margin = 44;
    const svg = picture(parent, w, h, `predicted against true ${one.name}`);
    const extent = d3.extent([...one.truth, ...one.predicted]);
    const x = d3.scaleLinear(extent, [margin, w - 8]).nice(), y = d3.scaleLinear(x.domain(), [h - 34, 8]);
    svg.append("g").attr("class", "axis").attr("transform", `translate(0,${h - 34})`).call(d3.axisBottom(x).ticks(5, "~g"));
    svg.append("g").attr("class", "axis").attr("transform", `translate(${margin},0)`).call(d3.axisLeft(y).ticks(5, "~g"));
    svg.append("line").attr("x1", x.range()[0]).attr("x2", x.range()[1]).attr("y1", y.range()[0]).attr("y2", y.range()[1]).attr("class", "bound");
    svg.append("g").selectAll("circle").data(one.truth).join("circle").attr("cx", (value) => x(value)).attr("cy", (_, index) => y(one.predicted[index])).attr("r", 2.5).attr("fill", "var(--done)").attr("opacity", 0.6);
    svg.append("text").attr("class", "soft").attr("x", w / 2).attr("y", h - 4).attr("text-anchor", "middle").text(`true ${one.name}`);
  }
}

function answerParts(answers) {
  const parts = [];
  if (answers.confusion) { const box = element("div", {}); parts.push([element("h3", {}, "Confusion matrix"), element("p", { class: "soft" }, `${single() ? "Test" : "Validation"} examples${answers.first ? ", first training" : ""}; true classes in rows.`), box, () => drawConfusion(box, answers.confusion)]); }
  if (answers.numbers) { const box = element("div", {}); parts.push([element("h3", {}, "Predicted and true numbers"), box, () => drawNumbers(box, answers.numbers)]); }
  if (answers.labels) parts.push([element("h3", {}, answers.labels.title), element("div", { class: "scroll" }, element("table", {}, element("thead", {}, element("tr", {}, ...answers.labels.columns.map((name) => element("th", {}, name)))), element("tbody", {}, ...answers.labels.rows.map((row) => element("tr", {}, ...row.map((value) => element("td", {}, typeof value === "number" && !Number.isInteger(value) ? (100 * value).toFixed(1) + " %" : String(value)))))))), () => {}]);
  if (answers.errors && answers.errors.length) parts.push([element("h3", {}, "Worst errors"), element("div", { class: "errors" }, ...answers.errors.map(([image, truth, predicted]) => element("figure", {}, element("img", { src: data.images[image], alt: `example of ${truth}` }), element("figcaption", {}, truth, element("br"), "→ " + predicted)))), () => {}]);
  return parts;
}

function renderCard() {
  const card = document.getElementById("card");
  card.replaceChildren();
  const row = known(state.selected) ? byTrial(state.selected) : null;
  if (!row) { card.append(element("p", { class: "soft" }, "Select a network.")); return; }
  const network = data.networks[row.trial], curve = data.curves[row.trial], answers = data.results[row.trial];
  if (!single()) card.append(element("h3", { style: "margin-top:0" }, `Trial ${row.trial}`, " ", element("span", { class: "badge" }, row.group)));
  card.append(element("p", { class: "soft" }, data.labels[row.trial] || row.id));
  const values = data.names.filter((one) => known(row[one.name]) && (single() || data.objectives.includes(one.name) || one.name === "params" || one.name === "flops"));
  card.append(element("p", {}, values.map((one) => `${single() ? one.title : shortTitle(one.name)} ${withError(row, one.name)}`).join(" · ")));
  if (!single() && confirmedText(row.trial)) card.append(confirmedText(row.trial));
  if (!single()) {
    card.append(element("p", { class: "soft" }, `${row.epochs} epochs${row.trainings > 1 ? `, mean of ${row.trainings} trainings` : ""}, trained for ${row.minutes < 1 ? (60 * row.minutes).toFixed(0) + " s" : row.minutes.toFixed(1) + " minutes"}.`));
    const buttons = element("div", { class: "controls" }, element("button", { type: "button", onclick: () => { state.pinned = state.pinned === row.trial ? null : row.trial; renderSelection(); } }, state.pinned === row.trial ? "no comparison" : "compare with another"));
    if (data.links[row.trial]) buttons.append(element("a", { href: data.links[row.trial], target: "_blank", rel: "noopener" }, "run in MLflow"));
    card.append(buttons);
    if (row.state === "complete") card.append(command(`nas export ${data.name} --pick ${row.trial}`));
  }
  if (!network) { card.append(element("p", { class: "soft" }, "The page has no room for the details of this network; run ", element("code", {}, `nas show ${data.name} ${row.trial}`))); return; }
  const drawing = element("div", {});
  const legend = Object.entries(KINDS).filter(([kind]) => kind && network.boxes.some((box) => box.kind === kind));
  card.append(element("h3", {}, "Network"), drawing, element("p", { class: "soft" }, ...legend.map(([kind, shade]) => element("span", {}, element("span", { style: `color:${shade}` }, "■ "), kind + " ")), network.boxes.some((box) => box.marks.includes("residual")) ? "⌒ residual" : ""));
  drawNetwork(drawing, network, 560);
  card.append(stageTable(network));
  if (curve && curve.epoch.length) {
    const box = element("div", {});
    card.append(element("div", {}, element("h3", {}, row.trainings > 1 ? "Learning curve of the first training" : "Learning curve"), box));
    drawCurve(box, curve);
  }
  for (const [...parts] of answers ? answerParts({ ...answers, first: row.trainings > 1 }) : []) { const draw = parts.pop(); card.append(element("div", {}, ...parts)); draw(); }
  if (!answers && row.front) card.append(element("p", { class: "soft" }, "The record has no answers of this network to the validation examples."));
}

const times = (ratio) => (ratio >= 1 ? d3.format(".3~g")(ratio) + " times as much" : "1 / " + d3.format(".3~g")(1 / ratio) + " of it");

function renderComparison() {
  const box = document.getElementById("comparison");
  box.replaceChildren();
  if (!known(state.pinned)) return;
  const first = byTrial(state.pinned), second = byTrial(state.selected);
  if (!first) return;
  if (!second || first === second) { box.append(element("p", { class: "notice" }, `Trial ${first.trial} is kept; select a second network to compare the two.`)); return; }
  box.append(element("h2", {}, `Trials ${first.trial} and ${second.trial}`));
  const halves = element("div", { class: "halves" });
  box.append(halves);
  for (const row of [first, second]) {
    const half = element("div", { class: "panel" }, element("h3", { style: "margin-top:0" }, `Trial ${row.trial}`), element("p", { class: "soft" }, data.labels[row.trial] || row.id));
    halves.append(half);
    if (data.networks[row.trial]) { drawNetwork(half, data.networks[row.trial], 600); half.append(stageTable(data.networks[row.trial])); }
  }
  const lines = [];
  for (const one of data.names) {
    if (!known(first[one.name]) && !known(second[one.name])) continue;
    const ratio = first[one.name] > 0 && known(second[one.name]) ? (one.share ? `${(100 * (second[one.name] - first[one.name])).toFixed(1)} points` : times(second[one.name] / first[one.name])) : "";
    lines.push([one.title, withError(first, one.name), withError(second, one.name), ratio, first[one.name] !== second[one.name]]);
  }
  data.values.forEach((value, index) => {
    const [a, b] = [first, second].map((row) => (row.choice[index] < 0 ? "–" : String(value.choices[row.choice[index]])));
    if (a !== "–" || b !== "–") lines.push([value.name, a, b, "", a !== b]);
  });
  box.append(element("div", { class: "scroll" }, element("table", {}, element("thead", {}, element("tr", {}, ...["", `trial ${first.trial}`, `trial ${second.trial}`, "second against first"].map((text) => element("th", {}, text)))),
    element("tbody", {}, ...lines.map(([name, a, b, ratio, differs]) => element("tr", {}, element("td", {}, name), ...[a, b].map((text) => element("td", { class: differs ? "differs" : "" }, text)), element("td", {}, ratio)))))));
}

function renderSelection() { renderCard(); renderComparison(); markSelected(); }
