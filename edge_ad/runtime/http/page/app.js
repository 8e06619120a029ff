// Shows what api/status says, every second. All of it is text that others chose: it never becomes markup.
"use strict";

const POLL_MS = 1000, HISTORY_MS = 2000, ANSWER_MS = 4000, SPARK_POINTS = 300, MOST_POINTS = 1200;
const LINEAR_TOP = 400; // percent: a short peak above it is cut off, so that the rest can be seen

// word; tone; icon (24 x 24): what is drawn in lines, what is filled. The worst come first.
const CIRCLE = "M12 3a9 9 0 1 0 .01 0z";
const STATES = table({
  alarm: ["Alarm", "alarm", "M12 9v6m0 2.4v1.6", "M12 2 23 21.5H1z"],
  down: ["Down", "warn", "m8 8 8 8m0-8-8 8", "M3 3h18v18H3z"],
  unknown: ["Unknown", "warn", "M12 2 22 12 12 22 2 12zM9.6 9.8c0-3.2 4.8-3.2 4.8 0 0 1.8-2.4 1.9-2.4 3.7m0 2v1.2"],
  silent: ["Silent", "warn", CIRCLE + "M12 7v5.3l3.6 2.2"],
  waiting: ["Waiting", "idle", CIRCLE + "M7.5 12h.1m4.4 0h.1m4.4 0h.1"],
  warming: ["Warming up", "idle", "M6 3h12M6 21h12M7.5 3c0 6 9 12 9 18M16.5 3c0 6-9 12-9 18"],
  ended: ["Ended", "idle", "M4 4h16v16H4z"],
  normal: ["Normal", "good", CIRCLE + "m-4 9.3 2.8 2.9L16 9.3"],
});
const ORDER = Object.keys(STATES);
const REASONS = table({
  unreadable: "Unreadable line", duplicate: "Sample came twice", late: "Sample came too late",
  gap: "Samples are missing", "clock-forward": "Clock jumped forward", "clock-back": "Clock jumped back",
  missing: "Channel without a value", "not-finite": "Value is no number", "out-of-range": "Value out of range",
  stuck: "Sensor stuck", rate: "Wrong sample rate", refilling: "Collecting samples again",
  warming: "Collecting first samples",
});
const DRIFT = table({
  stable: "Scores are spread as in training.",
  moderate: "Scores have moved away from those of training. If the machine is well, recalibrate.",
  major: "Scores are no longer those of training. If the machine is well, recalibrate or train anew.",
  unclear: "Too few scores to tell.",
});
const NB = "\u00a0";

const $ = (id) => document.getElementById(id);
const rows = new Map(); // of the overview, by asset
const sparks = new Map(); // newest points [time, ratio], by asset
let status = null, past = null, chosen = null, failure = null, good = 0, historyAt = 0;
let timer = 0, polling = false, seeding = false, isLog = false, cursor = null;

// Elements

function table(entries) {
  return Object.assign(Object.create(null), entries); // looked up by names that others chose
}

function add(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  node.append(...children.filter(Boolean));
  return node;
}

const el = (tag, attributes, ...children) => add(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) =>
  add(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
const mark = (name, isSo) => document.body.classList.toggle(name, isSo);
const soft = (text) => el("p", { class: "soft" }, text);

function put(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

/** Build what is in an element anew, if what it shows has changed. */
function fill(node, data, build) {
  const key = JSON.stringify(data);
  if (node.shown !== key) node.replaceChildren(...build().filter(Boolean));
  node.shown = key;
}

function icon(key, size) {
  const [, tone, lines, filled] = STATES[key];
  return svg("svg", { viewBox: "0 0 24 24", width: size, height: size, class: `icon ${tone}` },
    filled && svg("path", { d: filled, class: "filled" }), svg("path", { d: lines, class: filled ? "on" : "" }));
}

function grid(head, lines) {
  const row = (name, cells) => el("tr", null, ...cells.map((cell, i) => el(i ? name : "th", null, cell)));
  return el("table", null, head && el("thead", null, row("th", head)),
    el("tbody", null, ...lines.map((cells) => row("td", cells))));
}

const facts = (pairs) => [el("dl", null, ...pairs.filter(([, value]) => value)
  .flatMap(([name, value]) => [el("dt", null, name), el("dd", null, value)]))];

function bar(...parts) {
  return el("span", { class: "bar" }, ...parts.map(([name, share]) => {
    const part = el("i", { class: name });
    part.style.width = `${(share || 0) * 100}%`;
    return part;
  }));
}

// Words and numbers

const count = (n) => Math.round(n).toLocaleString("en-GB");

function num(x) {
  if (x === null) return "–";
  const size = Math.abs(x);
  if (size >= 1e7 || (size && size < 1e-4)) return x.toExponential(2);
  return size >= 1000 ? count(x) : String(Number(x.toPrecision(3)));
}

function percent(share) {
  if (share === null) return "–";
  const p = share * 100, isWhole = p === 0 || p >= 100 || (p >= 10 && p < 99);
  return (isWhole ? count(p) : p < 0.1 ? "< 0.1" : Math.min(p, 99.9).toFixed(1)) + NB + "%";
}

function span(us) {
  const [size, unit] = us >= 1e6 ? [1e6, "s"] : us >= 1000 ? [1000, "ms"] : [1, "µs"];
  return num(us / size) + NB + unit;
}

function duration(s) {
  s = Math.max(0, Math.floor(s));
  const [d, h, m] = [Math.floor(s / 86400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
  if (d) return `${count(d)}${NB}d ${h}${NB}h`;
  return h ? `${h}${NB}h ${m}${NB}min` : m ? `${m}${NB}min` : `${s}${NB}s`;
}

/** A live stream's times are the viewer's; those of another clock are shown as written. */
function zoneOf(asset) {
  const newest = (asset.time || 0) + (asset.silent_s || 0);
  return Math.abs(status.started + status.uptime_s - newest) < 600 ? undefined : "UTC";
}

function clock(time, zone, finest = { second: "2-digit" }) {
  const date = new Date(time * 1000), options = { hour: "2-digit", minute: "2-digit", timeZone: zone, ...finest };
  if (Math.abs(Date.now() - date) > 7.2e7) Object.assign(options, { day: "numeric", month: "short" });
  return date.toLocaleString("en-GB", options);
}

function because(reason) {
  const [, kind, what] = /^([^:]*):?\s*(.*)$/s.exec(reason || "");
  return !REASONS[kind] ? reason : REASONS[kind] + (what && `: ${what}`);
}

// What an asset's figures mean

const period = (asset) => (asset.service ? asset.service.sample_period_s : 1);
const isSilent = (asset) => asset.state !== "ended" && (asset.silent_s || 0) > Math.max(5, 5 * period(asset));
const ratioOf = (asset) => (asset.score === null || !asset.service ? null : asset.score / asset.service.ucl);

/** The state to show: a score that is minutes old says nothing of now. */
function condition(asset) {
  if (isSilent(asset) && ["normal", "warming"].includes(asset.state)) return "silent";
  return STATES[asset.state] ? asset.state : "unknown";
}

const rank = (asset) => ORDER.indexOf(condition(asset));
const word = (key, asset) => STATES[key][0] + (key === "alarm" && asset.severity ? `, ${asset.severity}` : "");
const currentRatio = (asset) => (condition(asset) === "silent" ? null : ratioOf(asset));

function noteOf(key, asset) {
  const parts = [];
  if (key === "silent") parts.push(`no samples for ${duration(asset.silent_s)}, was ${asset.state} before`);
  else if (isSilent(asset)) parts.push(`silent for ${duration(asset.silent_s)}`);
  if (key === "waiting") parts.push("no samples yet");
  if (asset.reason && key !== "normal" && key !== "alarm") parts.push(because(asset.reason));
  return parts.join("; ");
}

function episodeNote(asset) {
  if (!asset.episode) return "";
  const [top] = asset.episode.top_channels;
  return `since ${clock(asset.episode.start, zoneOf(asset), {})}` + (top ? `, ${top[0]} ${percent(top[1])}` : "");
}

// Overview

function meter(ratio) {
  const x = Math.min(150, ratio * 100); // the limit stands at two thirds
  return svg("svg", { class: "meter", viewBox: "0 0 150 8", preserveAspectRatio: "none" },
    svg("path", { class: "track", d: "M0 1h150v6H0z" }), svg("path", { class: "level", d: `M0 1h${Math.min(x, 100)}v6H0z` }),
    x > 100 && svg("path", { class: "over", d: `M100 1h${x - 100}v6H100z` }), svg("path", { class: "limit", d: "M99 0h2.5v8H99z" }));
}

/** A path through points [time, value]; it ends where there is no value, or none for too long. */
function line(points, x, y, longest) {
  let d = "", before = null;
  for (const [time, value] of points) {
    if (value !== null) d += (before !== null && time - before <= longest ? "L" : "M") + `${x(time).toFixed(1)} ${y(value).toFixed(1)}`;
    before = value === null ? null : time;
  }
  return d;
}

/** All on one scale, from nothing to twice the limit. */
function spark(asset, points) {
  const reach = Math.max(SPARK_POINTS, 60 * period(asset)), end = points.at(-1)[0];
  const d = line(points.filter(([time]) => time > end - reach), (time) => 72 - ((end - time) / reach) * 72,
    (ratio) => 29 - Math.min(ratio, 2) * 14, 5 * Math.max(1, period(asset)));
  return [svg("path", { class: "limit", d: "M0 15H72" }), svg("path", { class: "trace", d, "clip-path": "url(#spark-below)" }),
    svg("path", { class: "trace over", d, "clip-path": "url(#spark-above)" })];
}

function makeRow(name) {
  const row = { icon: el("span"), note: el("div", { class: "row-note" }), value: el("div", { class: "row-value" }),
    spark: svg("svg", { class: "spark", viewBox: "0 0 72 30" }) };
  row.link = el("a", { href: "#/" + encodeURIComponent(name) }, row.icon,
    el("div", null, el("div", { class: "row-name" }, name), row.note), row.spark, row.value);
  row.item = el("li", { "data-asset": name }, row.link);
  rows.set(name, row);
  return row;
}

function showOverview() {
  const list = $("assets");
  const sorted = [...status.assets].sort((a, b) => rank(a) - rank(b)); // keeps the order of equals
  for (const [name, row] of rows) {
    if (sorted.some((asset) => asset.name === name)) continue;
    row.item.remove();
    rows.delete(name);
  }
  sorted.forEach((asset, place) => {
    const row = rows.get(asset.name) || makeRow(asset.name), points = sparks.get(asset.name);
    // moved only where it has to be: that takes the keyboard's focus away
    if (list.children[place] !== row.item) list.insertBefore(row.item, list.children[place] || null);
    const key = condition(asset), tone = STATES[key][1], ratio = currentRatio(asset);
    const note = [noteOf(key, asset), episodeNote(asset)].filter(Boolean).join("; ");
    row.link.className = "on-" + tone;
    if (asset.name === chosen) row.link.setAttribute("aria-current", "true");
    else row.link.removeAttribute("aria-current");
    fill(row.icon, key, () => [icon(key, 22)]);
    fill(row.note, [key, asset.severity, note], () => [el("b", { class: tone }, word(key, asset)), note ? " " + note : ""]);
    fill(row.value, [ratio], () => [percent(ratio), ratio !== null && meter(ratio)]);
    if (points && points.length) fill(row.spark, [points.length, points.at(-1)], () => spark(asset, points));
  });
}

function showCounts() {
  const keys = status.assets.map(condition), n = (key) => keys.filter((other) => other === key).length;
  const present = ORDER.filter(n);
  fill($("counts"), present.map((key) => [key, n(key)]), () => present.map((key) =>
    el("li", { class: STATES[key][1] }, icon(key, 18), el("b", null, String(n(key))), STATES[key][0].toLowerCase())));
   // for screen readers
  const news = status.assets.filter((asset) => rank(asset) < 4).map((asset) => `${asset.name}: ${word(condition(asset), asset)}`);
  put("news", news.join(", "));
  document.title = (n("alarm") ? `${n("alarm")} in alarm · ` : "") + status.name;
}

// The asset that is shown

function showDetail(asset) {
  const key = condition(asset), tone = STATES[key][1];
  $("head").className = `on-${tone}`;
  fill($("state-icon"), key, () => [icon(key, 44)]);
  put("name", asset.name);
  put("state", word(key, asset));
  $("state").className = tone;
  const usual = { normal: "The score is within its limit.", alarm: "The machine does not run as it did in training." };
  put("note", noteOf(key, asset) || usual[key] || "");
  put("percent", percent(currentRatio(asset)));
  put("score", asset.service ? `score ${num(asset.score)}, limit ${num(asset.service.ucl)}` : "no bundle");
  showEpisode(asset, asset.episode);
  showContributions(asset);
  showHealth(asset.health);
  showLatency(asset);
  showSource(asset, asset.service);
  drawChart(asset);
}

function showEpisode(asset, episode) {
  $("episode").hidden = !episode;
  if (!episode) return;
  const top = episode.top_channels.map(([name, share]) => `${name} ${percent(share)}`).join(", "), zone = zoneOf(asset);
  put("episode", `Alarm episode ${episode.number} since ${clock(episode.start, zone)}, for ` +
    `${duration((asset.time || episode.last) - episode.start)}. Highest at ${clock(episode.peak_time, zone)}: ` +
    `${percent(episode.peak_ratio)} of the limit.` + (top && ` Mostly ${top}.`));
}

function showContributions(asset) {
  fill($("contributions"), asset.contributions, () => {
    if (!asset.contributions.length) return [soft("No score yet.")];
    const units = new Map(asset.service ? asset.service.channels.map(({ name, unit }) => [name, unit]) : []);
    const sorted = [...asset.contributions].sort((a, b) => b[1] - a[1]), most = sorted[0][1] || 1;
    const total = sorted.reduce((sum, [, value]) => sum + value, 0) || 1;
    const lines = sorted.map(([name, value]) => [el("span", null, name, el("span", { class: "soft" }, ` ${units.get(name) || ""}`)),
      bar(["", value / most]), percent(value / total), num(value)]);
    return [grid(["Channel", "", "Share", "Part"], lines)];
  });
}

function showHealth(health) {
  fill($("health"), health, () => {
    if (!health) return [soft("No decisions yet.")];
    const both = (name, value) => [name, value(health.day), value(health.since_start)];
    const share = (state) => (counts) => (counts.decisions ? counts[state] / counts.decisions : null);
    const states = ["normal", "alarm", "unknown", "warming"], drift = health.drift;
    const kinds = Object.keys({ ...health.day.reasons, ...health.since_start.reasons });
    return [grid(["", "Last 24 h", "Since start"], [
      both("", (counts) => bar(...states.map((state) => ["s-" + state, share(state)(counts)]))),
      ...states.map((state) => both(STATES[state][0], (counts) => percent(share(state)(counts)))),
      both("Decisions", (counts) => count(counts.decisions)),
      both("Missed deadlines", (counts) => count(counts.missed_deadlines)),
      both("Alarm episodes", (counts) => count(counts.episodes)),
      both("Episodes per day", (counts) => num(counts.episodes_per_day)),
      ...kinds.map((kind) => both(REASONS[kind] || kind, (counts) => count(counts.reasons[kind] || 0))),
    ]), drift && el("p", null, el("b", null, `Drift: ${drift.level}. `), DRIFT[drift.level] || "",
      drift.psi !== null && ` PSI ${num(drift.psi)}, by chance up to ${num(drift.psi_noise)}.`)];
  });
}

function columns(histogram) {
  const used = histogram.map(([, n], i) => (n ? i : -1)).filter((i) => i >= 0);
  const shown = histogram.slice(used[0], used.at(-1) + 1), wide = 320 / Math.max(6, shown.length);
  const most = Math.log1p(Math.max(...shown.map(([, n]) => n)));
  return svg("svg", { class: "columns", viewBox: "0 0 320 84", role: "img", "aria-label": "How many took how long" },
    ...shown.flatMap(([bound, n], i) => {
      const height = (Math.log1p(n) / most) * 64 || 0;
      return [svg("rect", { x: i * wide + 1, y: 68 - height, width: wide - 2, height }),
        i % Math.ceil(shown.length / 6) === 0 && svg("text", { x: (i + 1) * wide, y: 80, "text-anchor": "end" }, span(bound))];
    }));
}

function showLatency(asset) {
  fill($("latency"), [asset.latency, asset.latency_histogram], () => {
    const stages = Object.entries(asset.latency), histogram = asset.latency_histogram;
    if (!stages.length) return [soft("No decisions yet.")];
    const keys = ["p50_us", "p99_us", "p999_us", "max_us", "jitter_us"];
    return [histogram.some(([, n]) => n) && columns(histogram),
      grid(["", "p50", "p99", "p99.9", "max", "jitter"], stages.map(([name, figures]) => [name, ...keys.map((key) => span(figures[key]))]))];
  });
}

function showSource(asset, service) {
  const arrivals = asset.arrivals, ms = (x) => span(x * 1000);
  const { lines, bad_lines: bad, queued, lag_s: lag } = asset;
  fill($("source"), asset, () => facts([
    ["Source", asset.source],
    ["Newest", asset.stamp || "none yet"],
    ["Lines", `${count(lines)}, ${bad ? count(bad) : "none"} unreadable`],
    ["Queue", count(queued) + (lag === null ? "" : `, decided ${span(lag * 1e6)} after arrival`)],
    ["Interval", arrivals && `${ms(arrivals.p50_ms)} (should be ${ms(arrivals.nominal_ms)}), p99 ${ms(arrivals.p99_ms)}`],
    ["Jitter", arrivals && `${ms(arrivals.jitter_ms)}, p99 ${ms(arrivals.jitter_p99_ms)}; longest silence ${ms(arrivals.longest_silence_ms)}`],
  ]));
  fill($("bundle"), [service, asset.reason], () => !service ? [soft(because(asset.reason) || "None.")] : facts([
    ["Bundle", `${service.bundle_id.slice(0, 12)}, build ${service.build_number}`],
    ["Model", `${service.model_version}, ${service.variant}`],
    ["Engine", service.engine],
    ["Limit", num(service.ucl) + (service.overlay_id ? `, recalibrated (${service.overlay_id.slice(0, 12)})` : ", as built")],
    ["Samples", `${service.channels.length} channels, every ${span(service.sample_period_s * 1e6)}`],
  ]));
}

// Chart

/** The newest points [time, percent, state] of the history that one axis of time can show. */
function stretch(asset) {
  const { name, times, scores, ucls, states } = past || {};
  if (name !== asset.name || !times.length) return [];
  const end = times.length - 1, reach = 1.5 * times.length * Math.max(1, period(asset));
  let first = end;
  while (first > 0 && times[first - 1] < times[first] && times[end] - times[first - 1] <= reach) first--;
  return times.map((time, i) => [time, scores[i] === null || !ucls[i] ? null : (scores[i] / ucls[i]) * 100, states[i]]).slice(first);
}

function drawChart(asset) {
  const box = $("chart"), points = stretch(asset), wide = Math.floor(box.clientWidth), high = Math.floor(box.clientHeight);
  const newest = points.at(-1), silence = isSilent(asset) ? asset.silent_s : 0;
  fill(box, [asset.name, wide, high, isLog, points.length, newest, cursor, Math.floor(silence)], () => {
    if (points.length > 1 && wide > 100) return [chart(asset, points, wide, high, silence)];
    for (const id of ["clipped", "readout"]) put(id, "");
    return [soft("Nothing to draw yet.")];
  });
}

function chart(asset, points, wide, high, silence) {
  const [left, top] = [46, 8], w = wide - left - 10, h = high - top - 22;
  const start = points[0][0], newest = points.at(-1), end = newest[0] + Math.min(silence, newest[0] - start);
  const scored = points.map((p) => p[1]).filter((p) => p > 0).sort((a, b) => a - b);
  const peak = scored.at(-1) || 0, usual = scored[Math.floor(scored.length * 0.9)] * 1.6;
  const low = isLog ? 10 ** Math.floor(Math.log10(Math.max(0.1, Math.min(50, scored[0] || 1)))) : 0;
  const tall = isLog ? Math.max(200, peak * 1.2)
    : peak > LINEAR_TOP ? Math.max(LINEAR_TOP, Math.min(peak * 1.08, usual)) : Math.max(150, peak * 1.08);
  const x = (time) => left + ((time - start) / (end - start)) * w;
  const share = (p) => (isLog ? Math.log(Math.max(p, low) / low) / Math.log(tall / low) : p / tall);
  const y = (p) => top + h - Math.min(1, share(p)) * h;
  const longest = 5 * Math.max(1, period(asset)), zone = zoneOf(asset), limit = y(100);
  const parts = [svg("defs", null,
    svg("pattern", { id: "hatch", width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, svg("path", { d: "M0 0V5" })),
    svg("clipPath", { id: "above" }, svg("rect", { x: left, y: top, width: w, height: limit - top })),
    svg("clipPath", { id: "below" }, svg("rect", { x: left, y: limit, width: w, height: top + h - limit })))];
  const draw = (name, d, more) => parts.push(svg("path", { class: name, d, ...more }));
  const write = (text, tx, ty, anchor, name = "") => parts.push(svg("text", { x: tx, y: ty, "text-anchor": anchor, class: name }, text));
  for (const wanted of ["alarm", "unknown", "warming"]) {
    draw(`span-${wanted}`, points.map(([time, , state], i) => {
      const from = Math.floor(x(time)), until = Math.min((points[i + 1] || newest)[0], time + longest);
      return state === wanted ? `M${from} ${top}H${Math.max(from + 1, Math.ceil(x(until)))}v${h}H${from}z` : "";
    }).join(""));
  }
  const rise = 10 ** Math.floor(Math.log10(tall / 2)); // of the lines of the grid
  const levels = !isLog ? [0, 1, 2, 3, 4, 5].map((i) => i * (tall > 12 * rise ? 5 : tall > 6 * rise ? 2 : 1) * rise)
    : [0.1, 1, 10, 100, 1e3, 1e4, 1e5].flatMap((p) => (tall / low > 200 ? p : [p, 2 * p, 5 * p]));
  for (const level of [100, ...levels.filter((p) => p >= low && p <= tall && Math.abs(y(p) - limit) > 12)]) {
    draw(level === 100 ? "limit" : "grid", `M${left} ${y(level)}h${w}`);
    write(`${num(level)}${NB}%`, left - 6, y(level) + 4, "end", level === 100 ? "strong" : "");
  }
  const step = [10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200].find((s) => (end - start) / s <= 6) || 86400 * Math.ceil((end - start) / 5e5);
  const shift = zone ? 0 : new Date(end * 1000).getTimezoneOffset() * 60;
  for (let t = Math.ceil((start - shift) / step) * step + shift; t <= end; t += step) {
    draw("grid", `M${x(t)} ${top + h}v4`);
    if (x(t) > left + 16 && x(t) < wide - 22) write(clock(t, zone, step < 60 ? undefined : {}).split(", ").pop(), x(t), high - 5, "middle");
  }
  const d = line(points, x, y, longest), beyond = points.filter((p) => p[1] > tall);
  draw("trace", d, { "clip-path": "url(#below)" });
  draw("trace over", d, { "clip-path": "url(#above)" });
  write("limit", left + 6, limit - 5, "start", "strong");
  draw("beyond", beyond.map(([time]) => `M${x(time)} ${top}l4 7h-8z`).join(""));
  put("clipped", beyond.length ? `cut off at ${num(tall)} %; the highest is ${percent(peak / 100)}, which Log shows` : "");
  if (newest[1] !== null) parts.push(svg("circle", { cx: x(newest[0]), cy: y(newest[1]), r: 3.5, class: newest[1] > 100 ? "beyond" : "" }));
  const away = (p) => Math.abs(x(p[0]) - cursor);
  const [time, p, state] = cursor === null ? newest : points.reduce((a, b) => (away(b) < away(a) ? b : a));
  if (cursor !== null) draw("cursor", `M${x(time)} ${top}v${h}`);
  put("readout", `${clock(time, zone)}${zone ? " by the stream's clock" : ""}: ${p === null ? "no score" : percent(p / 100)}, ${state}`);
  const label = `Score of ${asset.name} over ${duration(end - start)}: highest ${percent(peak / 100)} of the limit`;
  return svg("svg", { width: wide, height: high, role: "img", "aria-label": label }, ...parts);
}

// Agent

function showAgent() {
  put("agent", status.name);
  const { uptime_s: uptime, sinks, troubles, events_dropped, events_unsaved: unsaved } = status;
  const shown = [["Version", `edge-ad ${status.version}`], ["Running for", duration(uptime)],
    ["Memory", `${(status.rss_bytes / 1e6).toFixed(1)}${NB}MB`], ["Processor", `${percent(status.cpu_s / (uptime || 1))} of a core`]];
  fill($("about"), shown, () => facts(shown));
  const figures = ["pending", "delivered", "failed", "refused"];
  const warning = (text) => el("p", { class: "warn" }, text);
  fill($("sinks"), sinks, () => !sinks.length ? [soft("Nobody: no sink.")] : [
    grid(["", ...figures], sinks.map((sink) => [`${sink.name} (${sink.kind})`, ...figures.map((key) => count(sink[key]))])),
    ...sinks.filter((sink) => sink.last_error).map((sink) => warning(`${sink.name}: ${sink.last_error}`))]);
  fill($("troubles"), [troubles, events_dropped, unsaved], () => {
    const lost = Object.entries(events_dropped).filter(([, n]) => n), sorted = [...troubles].sort((a, b) => b[2] - a[2]);
    return [sorted.length ? grid(null, sorted.slice(0, 12).map(([where, kind, n]) => [`${where}: ${kind.replaceAll("-", " ")}`, count(n)])) : soft("None."),
      sorted.length > 12 && soft(`and ${sorted.length - 12} other kinds`),
      lost.length && warning("Events lost for want of room: " + lost.map(([name, n]) => `${count(n)} (severity ${name})`).join(", ")),
      unsaved && warning(`${count(unsaved)} events wait for room on the disk.`)];
  });
}

// The whole page

function choose() {
  const { assets } = status, has = (name) => assets.some((asset) => asset.name === name);
  let named = null;
  try { named = decodeURIComponent(location.hash.slice(2)); } catch { /* no name of ours */ }
  const worst = () => assets.reduce((a, b) => (rank(b) < rank(a) ? b : a)).name;
  chosen = !assets.length ? null : has(named) ? named : has(chosen) ? chosen : worst();
  mark("in-detail", has(named));
  mark("alone", assets.length === 1);
}

function render() {
  mark("stale", failure !== null);
  $("banner").hidden = failure === null;
  put("banner", failure === null ? "" : failure + (good ? ` since ${clock(good / 1000)}. What is shown is old.` : "."));
  put("link", failure === null ? `live, ${clock(good / 1000)}` : "trying again");
  if (!status) return;
  mark("loading", false);
  choose();
  showCounts();
  showOverview();
  showAgent();
  const asset = status.assets.find((one) => one.name === chosen);
  $("detail").hidden = !asset;
  if (asset) showDetail(asset);
}

async function get(path) {
  const control = new AbortController(), limit = setTimeout(() => control.abort(), ANSWER_MS);
  try {
    const answer = await fetch(path, { signal: control.signal, cache: "no-store" });
    if (answer.status === 401) location.reload(); // to log in
    if (!answer.ok) throw Object.assign(new Error(path), { code: answer.status });
    return await answer.json();
  } finally {
    clearTimeout(limit);
  }
}

const getHistory = (name, query) => get(`api/assets/${encodeURIComponent(name)}/history?${query}`);

async function followHistory(name) {
  const known = past && past.name === name && past.times.length > 1 ? past : null;
  const kept = known ? known.times.length - 1 : 0; // the newest point may still change
  const part = await getHistory(name, known ? `since=${known.times[kept - 1]}` : ""), next = { name };
  for (const column of ["times", "scores", "ucls", "states"])
    next[column] = (part.since === null ? [] : known[column].slice(0, kept)).concat(part[column]).slice(-MOST_POINTS);
  past = next;
}

/** Sparklines go on with every status; only their beginnings are asked for, one after another. */
async function seedSparks() {
  if (seeding) return;
  seeding = true;
  try {
    for (const { name } of status.assets.filter((asset) => !sparks.has(asset.name))) {
      const { times, scores, ucls } = await getHistory(name, `points=${SPARK_POINTS}`);
      sparks.set(name, times.map((time, i) => [time, scores[i] === null || !ucls[i] ? null : scores[i] / ucls[i]]));
    }
  } catch { /* with the next status */ }
  seeding = false;
}

function prolongSparks() {
  for (const asset of status.assets) {
    const points = sparks.get(asset.name), end = points && points.length ? points.at(-1)[0] : -Infinity;
    if (!points || asset.time === null || asset.time === end) continue;
    if (asset.time < end) points.length = 0; // its clock was set back
    points.push([asset.time, ratioOf(asset)]);
    if (points.length > SPARK_POINTS) points.shift();
  }
}

async function poll() {
  clearTimeout(timer);
  if (polling) return;
  polling = true;
  try {
    const next = await get("api/status"), now = Date.now();
    if (now - good > 15000) sparks.clear();
    [status, good] = [next, now];
    choose();
    prolongSparks();
    if (chosen !== null && (now - historyAt >= HISTORY_MS - 100 || past.name !== chosen)) {
      await followHistory(chosen);
      historyAt = now;
    }
    failure = null;
    seedSparks();
  } catch (error) {
    failure = error.code ? `The agent is too busy to answer (${error.code})` : "No connection to the agent";
  }
  polling = false;
  render();
  if (!document.hidden) timer = setTimeout(poll, POLL_MS);
}

function setLog(value) {
  isLog = value;
  $("log").setAttribute("aria-pressed", String(value));
  $("linear").setAttribute("aria-pressed", String(!value));
  render();
}

function point(event) {
  cursor = event.type === "pointerleave" ? null : event.clientX - $("chart").getBoundingClientRect().left;
  render();
}

$("log").addEventListener("click", () => setLog(true));
$("linear").addEventListener("click", () => setLog(false));
$("chart").addEventListener("pointermove", point);
$("chart").addEventListener("pointerleave", point);
window.addEventListener("hashchange", () => { render(); poll(); window.scrollTo(0, 0); });
window.addEventListener("resize", render);
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : poll()));
poll();
