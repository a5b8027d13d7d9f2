"use strict";
// The data of the page, and what all its parts use: formats, small elements, the selection.

let data = null;
async function readData() {
  const bytes = Uint8Array.from(atob(document.getElementById("data").textContent), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}
let rows = [];
const state = {
  x: "", y: "", colour: "state", filter: "", selected: null, pinned: null, sort: ["", 1], count: 25,
  hidden: new Set(), over: "trials", brushes: new Map(), spans: new Map(),
};

function makeRows() {
  const columns = data.columns;
  rows = columns.trial.map((trial, index) => {
    const row = { index };
    for (const name in columns) row[name] = columns[name][index];
    row.choice = data.settings.map((column) => column[index]);
    return row;
  });
  const front = new Set(data.front), below = new Set(data.below), start = new Set(data.start);
  for (const row of rows) {
    row.front = front.has(row.trial);
    row.below = below.has(row.trial);
    row.start = start.has(row.trial);
    row.group = row.front ? "front" : row.below ? "below the floor" : row.state === "complete" ? "dominated" : row.state;
  }
}

const byTrial = (trial) => rows.find((row) => row.trial === trial);
const nameOf = (name) => data.names.find((one) => one.name === name) || { name, title: name };
const shortTitle = (name) => nameOf(name).title.replace(/^Validation (.)/, (_, first) => first.toUpperCase()).replace(/ \(.*\)$/, "");
const known = (value) => value !== null && value !== undefined;

function format(name, value) {
  if (!known(value)) return "–";
  const base = name.replace(/_se$/, "");
  if (nameOf(base).share) return (100 * value).toFixed(1) + " %";
  if (base.endsWith("_ms")) return d3.format(".3~g")(value) + " ms";
  if (base.endsWith("bytes")) return value < 1e6 ? d3.format(",.1f")(value / 1e3) + " kB" : d3.format(",.2f")(value / 1e6) + " MB";
  if (base === "flops") return d3.format(",.3~g")(value / 1e6) + " M";
  if (Number.isInteger(value)) return d3.format(",")(value);
  return d3.format(".4~g")(value);
}

function withError(row, name) {
  const error = row[name + "_se"];
  const text = format(name, row[name]);
  if (!known(error) || !known(row[name])) return text;
  return nameOf(name).share ? `${(100 * row[name]).toFixed(1)} ± ${(100 * error).toFixed(1)} %` : `${text} ± ${d3.format(".2~g")(error)}`;
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false && known(value)) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function section(id, title, note = "") {
  let found = document.getElementById(id);
  if (!found) {
    found = element("section", { id });
    document.querySelector("main").append(found);
  }
  found.replaceChildren(element("h2", {}, title), ...(note ? [element("p", { class: "soft" }, note)] : []));
  return found;
}

function command(text) {
  const button = element("button", { type: "button", "aria-label": "copy the command", onclick: async (event) => {
    event.stopPropagation();
    try { await navigator.clipboard.writeText(text); button.textContent = "copied"; }
    catch { getSelection().selectAllChildren(code); button.textContent = "select"; }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  } }, "copy");
  const code = element("code", {}, text);
  return element("div", { class: "command" }, code, button);
}

const tip = element("div", { id: "tip", hidden: true });
document.body.append(tip);
function showTip(event, lines) {
  tip.replaceChildren(...lines.map((line, index) => element("div", index ? {} : { style: "font-weight:600" }, line)));
  tip.hidden = false;
  const left = Math.min(event.pageX + 14, scrollX + document.documentElement.clientWidth - tip.offsetWidth - 8);
  tip.style.left = Math.max(scrollX + 4, left) + "px";
  tip.style.top = event.pageY + 14 + "px";
}
const hideTip = () => { tip.hidden = true; };

function select(trial) {
  state.selected = trial;
  try { history.replaceState(null, "", "#trial-" + trial); } catch { /* a sandboxed frame has no address */ }
  renderSelection();
}

// Filter: conditions as in `nas export --where`, or a part of a network's name or id.
const OPERATORS = {
  "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
  "=": (a, b) => a === b, "==": (a, b) => a === b,
};
function parseFilter(text) {
  const tests = [], problems = [];
  const plain = text.replace(/(\d),(?=\d{3}(?!\d))/g, "$1"); // 50,000 as the page shows it
  for (const part of plain.split(/\s+and\s+|,/).map((one) => one.trim()).filter(Boolean)) {
    const match = part.match(/^([\w.]+)\s*(<=|>=|==|<|>|=)\s*(\S+)$/);
    if (!match) {
      tests.push((row) => `${row.trial} ${row.id} ${data.labels[row.trial] || ""} ${row.group}`.toLowerCase().includes(part.toLowerCase()));
      continue;
    }
    const [, name, operator, written] = match;
    const wanted = /^[\d.]+%$/.test(written) ? String(parseFloat(written) / 100) : written;
    const alias = { latency: "latency_ms", loss: "val_loss", size: "size_bytes", memory: "peak_bytes" }[name] || name;
    // A value that is open for each stage meets a condition if each stage does.
    const values = [...data.values.keys()].filter((index) => data.values[index].name === name || data.values[index].name.replace(/\.\d+$/, "") === name);
    const compare = OPERATORS[operator];
    if (values.length) {
      const meets = (row, index) => {
        const choice = data.values[index].choices[row.choice[index]];
        return isNaN(wanted) ? compare(String(choice), wanted) : compare(choice, +wanted);
      };
      tests.push((row) => {
        const active = values.filter((index) => row.choice[index] >= 0);
        return active.length > 0 && active.every((index) => meets(row, index));
      });
    } else if (alias in data.columns && !isNaN(wanted)) tests.push((row) => known(row[alias]) && compare(row[alias], +wanted));
    else problems.push(part);
  }
  return { test: (row) => tests.every((test) => test(row)), problems };
}

function filtered() {
  const filter = parseFilter(state.filter);
  const brushed = [...state.brushes.values()];
  return { ...filter, rows: rows.filter((row) => filter.test(row) && !state.hidden.has(row.group) && brushed.every((test) => test(row))) };
}

function width(node, most = 2000) {
  return Math.max(280, Math.min(most, node.clientWidth || document.body.clientWidth - 40));
}

function picture(parent, w, h, label) {
  return d3.select(parent).append("svg").attr("viewBox", `0 0 ${w} ${h}`).attr("width", w).attr("height", h)
    .attr("role", "img").attr("aria-label", label);
}

// Scales: costs on log axes; the error of a share on a log axis, downwards, with ticks in the share.
function axisOf(name, values, range) {
  const present = values.filter(known);
  const { share } = nameOf(name);
  if (share) {
    const error = (value) => Math.max(1 - value, data.resolution);
    const errors = present.map(error);
    const [low, high] = [d3.min(errors) ?? 0.01, d3.max(errors) ?? 1];
    const scale = d3.scaleLog([Math.min(1, high * 1.15), low / 1.25], range);
    const steps = high > 60 * low ? [1, 3] : high > 8 * low ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8];
    const ticks = d3.range(-6, 1).flatMap((power) => steps.map((step) => step * 10 ** power)).filter((tick) => tick >= low / 1.25 && tick <= Math.min(1, high * 1.15))
      .reduce((kept, tick) => (kept.length && Math.abs(scale(tick) - scale(kept.at(-1))) < 15 ? kept : [...kept, tick]), []);
    const at = (value) => scale(error(value));
    return { at, draw: (axis) => axis.scale(scale).tickValues(ticks).tickFormat((tick) => d3.format(".6~g")(100 * (1 - tick)) + " %") };
  }
  const positive = present.length && d3.min(present) > 0 && name !== "trial" && name !== "epochs";
  const [low, high] = [d3.min(present) ?? 1, d3.max(present) ?? 10];
  const scale = positive ? d3.scaleLog([low / 1.15, high * 1.15], range) : d3.scaleLinear(low === high ? [low - 1, high + 1] : [low, high], range).nice();
  return { at: (value) => scale(value), draw: (axis) => axis.scale(scale).ticks(6, high < 10 ? "~g" : "~s") };
}

const CATEGORIES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#7F7F7F"];
