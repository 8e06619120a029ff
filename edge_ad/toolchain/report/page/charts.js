"use strict";
// Draws every <figure data-chart> of the page with uPlot, from the JSON beside it.
(() => {
  const DASHES = [[], [7, 3], [2, 2], [9, 3, 2, 3]];
  const BANDS = {training: "training", labelled: "labelled as anomalous", alarm: "alarm", unknown: "unknown"};
  const FIRST_ROWS = 100;  // as in the style
  const HEIGHT = 260, PRINT_WIDTH = 660;
  const SVG = "http://www.w3.org/2000/svg";
  const root = document.documentElement;
  const charts = [];
  let styles = null;

  const colour = (name) => (styles ??= getComputedStyle(root)).getPropertyValue(name).trim();
  const font = () => `13px ${getComputedStyle(document.body).fontFamily}`;

  function make(name, properties = {}, ...children) {
    const {class: className, ...rest} = properties;
    const made = Object.assign(document.createElement(name), rest);
    if (className) made.className = className;
    made.append(...children);
    return made;
  }

  function text(value) {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    return size !== 0 && (size < 0.001 || size >= 1e6) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
  }

  const pad = (number) => String(number).padStart(2, "0");

  function stamp(seconds) {
    const d = new Date(seconds * 1000);
    if (isNaN(d)) return String(seconds);
    const day = `${d.getUTCFullYear()}-${pad(d.getUTCMonth() + 1)}-${pad(d.getUTCDate())}`;
    return `${day} ${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())}:${pad(d.getUTCSeconds())}`;
  }

  // Labels of a logarithmic axis: 1, 2 and 5 of every power of ten, or where these are too many, fewer.
  function roundNumbers(low, high, most) {
    const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
    const powers = Array.from({length: last - first + 1}, (_, i) => first + i);
    const candidates = [
      ...[[1, 1.5, 2, 3, 4, 5, 7], [1, 2, 5], [1]].map((digits) => powers.flatMap((p) => digits.map((d) => d * 10 ** p))),
      powers.filter((p) => p % 2 === 0).map((p) => 10 ** p),
    ].map((values) => values.map((v) => Number(v.toPrecision(3))).filter((v) => v >= low && v <= high));
    return candidates.find((values) => values.length <= most) ?? candidates.at(-1);
  }

  const roundDown = (v) => [5, 2, 1].map((digit) => digit * 10 ** Math.floor(Math.log10(v))).find((round) => round <= v * 1.000001) ?? v;

  // Labels of a time axis: hours and minutes, and below the first of a day its date.
  function clock(u, splits, axis, space, step) {
    let day = "";
    return splits.map((seconds) => {
      const [date, time] = stamp(seconds).split(" ");
      const label = step >= 86400 ? "" : step < 60 ? time : time.slice(0, 5);
      const isNew = date !== day;
      day = date;
      return label === "" ? date : isNew ? `${label}\n${date}` : label;
    });
  }

  class Figure {
    constructor(element) {
      this.element = element;
      this.name = element.dataset.chart;
      this.plot = element.querySelector(".plot");
      this.data = JSON.parse(element.querySelector("script").textContent);
      this.shown = this.data.series.map((series) => series.shown);
      this.yScale = this.data.yScale;
      this.chart = null;
      this.addTools();
      this.addTable();
    }

    draw(width) {
      this.chart?.destroy();
      this.chart = new uPlot(this.options(width ?? (this.plot.clientWidth || PRINT_WIDTH)), this.columns(), this.plot);
      this.chart.over.addEventListener("dblclick", () => this.whole());
    }

    columns() {
      const log = this.yScale === "log";
      const values = this.data.series.map((series) => log ? series.values.map((v) => v > 0 ? v : null) : series.values);
      return [this.data.x, ...values];
    }

    options(width) {
      const {data} = this;
      const narrow = width < 500;
      const axis = (label, more) => ({
        label, labelFont: font(), font: font(), labelSize: 22, stroke: () => colour("--soft"),
        grid: {stroke: () => colour("--grid"), width: 1}, ticks: {stroke: () => colour("--line"), width: 1, size: 5}, ...more,
      });
      const numbers = {values: (u, splits) => splits.map((v) => v === null ? "" : text(v))};
      const ofLog = (pixels) => ({...numbers, filter: (u, splits) => splits, splits: (u, axis, low, high) => roundNumbers(low, high, pixels)});
      return {
        width, height: narrow ? 240 : HEIGHT,
        legend: {show: false},
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
        cursor: {
          drag: {x: true, y: false, dist: 5}, points: {size: 7},
          sync: data.group ? {key: data.group, setSeries: false} : undefined,
        },
        scales: {
          x: {time: data.xScale === "time", distr: data.xScale === "log" ? 3 : 1, range: (u, low, high) => this.xRange(low, high)},
          y: {distr: this.yScale === "log" ? 3 : 1, range: (u, low, high) => this.yRange(low, high)},
        },
        axes: [
          axis(data.xLabel, {
            linear: {...numbers, size: 34}, log: {...ofLog(width / 48), size: 34}, time: {values: clock, size: 48, space: 70},
          }[data.xScale]),
          axis(data.yLabel, {...(this.yScale === "log" ? ofLog(8) : numbers), size: narrow ? 46 : 54}),
        ],
        series: [{}, ...data.series.map((series, i) => this.seriesOptions(series, i))],
        hooks: {
          drawAxes: [(u) => this.drawSpans(u)],
          draw: [(u) => this.drawLimits(u)],
          setCursor: [(u) => this.readOut(u)],
          setScale: [(u, key) => key === "x" && this.followZoom(u)],
        },
      };
    }

    seriesOptions(series, i) {
      return {
        label: series.label, show: this.shown[i], width: 1.6, dash: DASHES[series.dash],
        stroke: () => colour(`--s${series.colour}`),
        paths: series.kind === "steps" ? uPlot.paths.stepped({align: 1}) : series.kind === "points" ? () => null : undefined,
        points: {show: series.kind === "points" || undefined, size: 5},
      };
    }

    xRange(low, high) {
      const {x, xScale} = this.data;
      if (low === null || low === undefined) return [0, 1];
      if (low === high) return xScale === "log" ? [low / 2, high * 2] : [low - 1, high + 1];
      const isWhole = low <= x[0] && high >= x[x.length - 1];
      if (isWhole && xScale === "linear") return [low - 0.01 * (high - low), high + 0.01 * (high - low)];
      return [low, high];
    }

    yRange(low, high) {
      const levels = this.data.levels.map(([value]) => value);
      if (low === null || low === undefined) [low, high] = this.yScale === "log" ? [0.1, 10] : [0, 1];
      low = Math.min(low, ...levels);
      high = Math.max(high, ...levels);
      if (this.yScale === "log") return [roundDown(Math.max(low, high * 1e-6) / 1.1), high * 1.4];
      if (low > 0 && low < 0.6 * high) low = 0;
      const room = (high - low || Math.abs(high) || 1) * 0.07;
      return [low === 0 ? 0 : low - room, high + room];
    }

    drawSpans(u) {
      const {ctx, bbox} = u;
      const pixels = devicePixelRatio;
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
      ctx.clip();
      for (const [start, end, kind] of this.data.spans) {
        const left = u.valToPos(start, "x", true);
        const width = Math.max(u.valToPos(end, "x", true) - left, pixels);
        ctx.fillStyle = colour(`--${kind}`);
        if (kind === "training" || kind === "labelled") ctx.fillRect(left, bbox.top, width, bbox.height);
        if (kind === "labelled") {
          ctx.fillStyle = colour("--labelled-line");
          ctx.fillRect(left, bbox.top, width, 3 * pixels);
        }
        if (kind === "alarm") ctx.fillRect(left, bbox.top + bbox.height - 8 * pixels, width, 8 * pixels);
        if (kind === "unknown") ctx.fillRect(left, bbox.top + bbox.height - 3 * pixels, width, 3 * pixels);
      }
      ctx.restore();
    }

    drawLimits(u) {
      const {ctx, bbox} = u;
      const pixels = devicePixelRatio;
      ctx.save();
      ctx.strokeStyle = ctx.fillStyle = colour("--ink");
      ctx.lineWidth = 1.5 * pixels;
      ctx.setLineDash([6 * pixels, 4 * pixels]);
      ctx.font = `600 ${13 * pixels}px ${getComputedStyle(document.body).fontFamily}`;
      const line = (x0, y0, x1, y1) => {
        ctx.beginPath();
        ctx.moveTo(x0, y0);
        ctx.lineTo(x1, y1);
        ctx.stroke();
      };
      for (const [value, label] of this.data.levels) {
        const y = u.valToPos(value, "y", true);
        if (y < bbox.top || y > bbox.top + bbox.height) continue;
        line(bbox.left, y, bbox.left + bbox.width, y);
        ctx.textAlign = "left";
        const below = y < bbox.top + 20 * pixels;
        ctx.fillText(label, bbox.left + 6 * pixels, y + (below ? 16 : -6) * pixels);
      }
      for (const [value, label] of this.data.marks) {
        const x = u.valToPos(value, "x", true);
        if (x < bbox.left || x > bbox.left + bbox.width) continue;
        line(x, bbox.top, x, bbox.top + bbox.height);
        const beyond = x > bbox.left + 0.85 * bbox.width;
        ctx.textAlign = beyond ? "right" : "left";
        ctx.fillText(label, x + (beyond ? -5 : 5) * pixels, bbox.top + 14 * pixels);
      }
      ctx.restore();
    }

    readOut(u) {
      const at = u.cursor.idx;
      const known = at !== null && at !== undefined;
      this.outputs.forEach((output, i) => output.textContent = known ? text(this.data.series[i].values[at]) : "");
      const where = this.data.xScale === "time" ? stamp : text;
      this.place.textContent = known ? where(this.data.x[at]) : "";
    }

    followZoom(u) {
      if (!this.data.group || Figure.following) return;
      Figure.following = true;
      const {min, max} = u.scales.x;
      for (const other of charts) {
        if (other !== this && other.chart && other.data.group === this.data.group) other.chart.setScale("x", {min, max});
      }
      Figure.following = false;
    }

    // Zoom and move by a factor of what is seen, in the axis' own terms.
    view(zoom, move) {
      const {min, max} = this.chart.scales.x;
      const log = this.data.xScale === "log";
      const [to, from] = log ? [Math.log, Math.exp] : [(v) => v, (v) => v];
      const [low, high] = [to(this.data.x[0]), to(this.data.x[this.data.x.length - 1])];
      let [a, b] = [to(min), to(max)];
      const width = Math.min((b - a) * zoom, high - low);
      const middle = (a + b) / 2 + move * (b - a);
      a = Math.max(low, Math.min(middle - width / 2, high - width));
      this.chart.setScale("x", {min: from(a), max: from(a + width)});
    }

    whole() {
      const {x} = this.data;
      this.chart.setScale("x", {min: x[0], max: x[x.length - 1]});
    }

    addTools() {
      const {data} = this;
      this.outputs = data.series.map(() => make("output"));
      const buttons = data.series.map((series, i) => {
        const swatch = document.createElementNS(SVG, "svg");
        swatch.setAttribute("class", "swatch");
        swatch.setAttribute("aria-hidden", "true");
        const line = swatch.appendChild(document.createElementNS(SVG, "line"));
        for (const [key, value] of Object.entries({x1: 0, x2: 26, y1: 5, y2: 5, stroke: `var(--s${series.colour})`, "stroke-dasharray": DASHES[series.dash].join(" ")})) line.setAttribute(key, value);
        const button = make("button", {class: "series", type: "button", title: "Show or hide"}, swatch, series.label, this.outputs[i]);
        button.setAttribute("aria-pressed", this.shown[i]);
        button.addEventListener("click", () => {
          this.shown[i] = !this.shown[i];
          button.setAttribute("aria-pressed", this.shown[i]);
          this.chart?.setSeries(i + 1, {show: this.shown[i]});
        });
        return button;
      });
      this.place = make("output", {class: "soft"});
      const zoom = make("div", {class: "zoom"});
      const add = (sign, name, act) => {
        const button = make("button", {type: "button", title: name, textContent: sign});
        button.setAttribute("aria-label", name);
        button.addEventListener("click", () => act(button));
        zoom.append(button);
      };
      if (data.yScale === "log" || data.group) {
        const other = () => this.yScale === "log" ? "linear" : "log";
        add(other(), "Change the scale of the y axis", (button) => {
          this.yScale = other();
          button.textContent = other();
          this.redraw();
        });
      }
      add("−", "Zoom out", () => this.view(2, 0));
      add("+", "Zoom in", () => this.view(0.5, 0));
      add("◀", "Move left", () => this.view(1, -0.4));
      add("▶", "Move right", () => this.view(1, 0.4));
      add("all", "Show all", () => this.whole());
      this.plot.before(make("div", {class: "tools"}, make("div", {class: "legend"}, ...buttons), this.place, zoom));
      const kinds = Object.keys(BANDS).filter((kind) => data.spans.some((span) => span[2] === kind));
      if (kinds.length) this.plot.before(make("div", {class: "bands"}, ...kinds.map((kind) => make("span", {class: kind, textContent: BANDS[kind]}))));
      this.plot.tabIndex = 0;
      this.plot.title = "Drag over a stretch to zoom in, double-click to see all; keys: + − ← → 0";
      const keys = {"+": [0.5, 0], "=": [0.5, 0], "-": [2, 0], ArrowLeft: [1, -0.25], ArrowRight: [1, 0.25]};
      this.plot.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey || !this.chart) return;
        if (event.key === "0") this.whole();
        else if (keys[event.key]) this.view(...keys[event.key]);
        else return;
        event.preventDefault();
      });
    }

    redraw(width) {
      const range = this.chart && {...this.chart.scales.x};
      this.draw(width);
      if (range) this.chart.setScale("x", {min: range.min, max: range.max});
    }

    rows() {
      const where = this.data.xScale === "time" ? stamp : (v) => v;
      return this.data.x.map((x, i) => [where(x), ...this.data.series.map((series) => series.values[i] ?? "")]);
    }

    addTable() {
      const details = make("details", {class: "data"}, make("summary", {textContent: "Numbers"}));
      details.addEventListener("toggle", () => {
        if (!details.open || details.querySelector("table")) return;
        const names = [this.data.xLabel, ...this.data.series.map((series) => series.label)];
        const row = (cells, name) => make("tr", {}, ...cells.map((cell) => make(name, {textContent: cell})));
        const table = make("table", {}, make("caption", {textContent: this.data.title}), make("thead", {}, row(names, "th")), make("tbody", {}, ...this.rows().map((cells) => row(cells, "td"))));
        const save = make("button", {type: "button", textContent: "Save as CSV"});
        save.addEventListener("click", () => this.save(names));
        details.append(save, make("div", {class: "scroll", tabIndex: 0}, table));
      });
      this.element.append(details);
    }

    save(names) {
      // A cell that a spreadsheet would take for a formula begins with an apostrophe.
      const quoted = (cell) => `"${String(cell).replace(/^(?=[=@\t\r]|[+-](?![\d.]))/, "'").replaceAll('"', '""')}"`;
      const lines = [names, ...this.rows()].map((cells) => cells.map((cell) => typeof cell === "number" ? cell : quoted(cell)).join(","));
      const address = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], {type: "text/csv"}));
      make("a", {href: address, download: `${this.name}.csv`}).click();
      setTimeout(() => URL.revokeObjectURL(address), 1000);
    }
  }

  // A chart is drawn when it comes near: a page of many opens at once.
  const nearing = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) started(entry.target);
  }, {rootMargin: "600px"});

  function started(element) {
    nearing.unobserve(element);
    let found = charts.find((chart) => chart.element === element);
    if (!found) {
      found = new Figure(element);
      charts.push(found);
      found.draw();
      resizing.observe(found.plot);
    }
    return found;
  }

  const resizing = new ResizeObserver((entries) => {
    for (const {target, contentRect} of entries) {
      const found = charts.find((chart) => chart.plot === target);
      const width = Math.floor(contentRect.width);
      if (width > 0 && found.chart && Math.abs(found.chart.width - width) > 1 && !root.classList.contains("printing")) {
        found.chart.setSize({width, height: found.chart.height});
      }
    }
  });

  function repaint() {
    styles = null;
    for (const chart of charts) chart.chart.redraw();
  }

  const figures = document.querySelectorAll("figure[data-chart]");
  figures.forEach((element) => nearing.observe(element));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  addEventListener("beforeprint", () => {
    root.classList.add("printing");
    styles = null;
    figures.forEach((element) => { if (element.getClientRects().length) started(element).redraw(PRINT_WIDTH); });
  });
  addEventListener("afterprint", () => {
    root.classList.remove("printing");
    styles = null;
    charts.forEach((chart) => { if (chart.plot.clientWidth) chart.redraw(); });
  });
  addEventListener("hashchange", () => scrollTo(0, 0));

  // The list of assets: a field to find some, and headings that sort.
  for (const table of document.querySelectorAll("table.assets")) {
    const body = table.tBodies[0], rows = [...body.rows];
    const key = (row, i) => {
      const cell = row.cells[i].textContent, number = parseFloat(cell);
      return i === 0 ? cell : isNaN(number) ? Infinity : number;
    };
    [...table.tHead.rows[0].cells].forEach((head, i) => {
      const button = make("button", {type: "button", textContent: head.textContent});
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const compare = (a, b) => i === 0 ? a.localeCompare(b, "en", {numeric: true}) : a === b ? 0 : a - b;
        const sorted = rows.map((row) => [key(row, i), row]).sort(([a], [b]) => (down ? -1 : 1) * compare(a, b));
        body.append(...sorted.map(([, row]) => row));
      });
    });
    let isWhole = rows.length <= FIRST_ROWS;
    if (!isWhole) {
      const button = make("button", {id: "whole", type: "button", textContent: `Show all ${rows.length}`});
      button.addEventListener("click", () => {
        isWhole = true;
        table.classList.add("whole");
        button.remove();
      });
      table.closest(".scroll").after(button);
    }
    if (rows.length > 12) {
      const field = make("input", {id: "filter", type: "search", placeholder: "find an asset"});
      field.setAttribute("aria-label", "Find an asset");
      field.addEventListener("input", () => {
        const wanted = field.value.trim().toLowerCase();
        table.classList.toggle("whole", wanted !== "" || isWhole);
        for (const row of rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
      });
      table.closest(".scroll").before(field);
    }
  }
})();
