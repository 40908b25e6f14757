"use strict";
(() => {
  const root = document.documentElement;
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const KEY = "gradwarden-theme";
  root.classList.add("js");

  // A browser may refuse storage to a page that is a file; the choice then lasts as long as the page.
  const remembered = () => { try { return localStorage.getItem(KEY); } catch { return null; } };
  const remember = (theme) => { try { localStorage.setItem(KEY, theme); } catch { /* as above */ } };
  const theme = () => root.dataset.theme || (prefersDark.matches ? "dark" : "light");
  if (["light", "dark"].includes(remembered())) root.dataset.theme = remembered();

  // ---- figures: what is drawn comes with the page, the colours from the style sheet ----
  const figures = [];

  function palette() {
    const probe = document.body.appendChild(document.createElement("span"));
    const read = (name) => {
      probe.style.color = `var(--${name})`;
      return getComputedStyle(probe).color;
    };
    const colours = Object.fromEntries(["ink", "soft", "line", "raised"].map((n) => [n, read(n)]));
    colours.series = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => read(`s${i}`));
    probe.remove();
    return colours;
  }

  const faded = (colour, alpha) =>
    colour.replace(/^rgba?\((\d+), (\d+), (\d+).*$/, `rgba($1, $2, $3, ${alpha})`);

  function coloured(trace, hidden, colours) {
    const colour = colours.series[trace.meta.colour];
    const own = { ...trace, visible: !hidden.has(trace.meta.series), showlegend: false };
    if (trace.meta.role === "band") return { ...own, fillcolor: faded(colour, 0.16) };
    const edge = { ...(trace.marker && trace.marker.line), color: colour };
    return {
      ...own,
      line: { ...trace.line, color: colour },
      marker: { ...trace.marker, color: colour, line: edge },
    };
  }

  function styled(layout, colours) {
    const font = { family: getComputedStyle(document.body).fontFamily, size: 13, color: colours.soft };
    const axis = {
      gridcolor: colours.line, linecolor: colours.line, tickcolor: colours.line,
      zeroline: false, automargin: true, nticks: 7,
    };
    const title = { ...layout.xaxis.title, font: { size: 13 }, standoff: 12 };
    return {
      ...layout,
      xaxis: { ...axis, showgrid: false, showline: true, ticks: "outside", ...layout.xaxis, title },
      yaxis: { ...axis, ...layout.yaxis },
      font,
      margin: { l: 8, r: 14, t: 10, b: 8 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      hovermode: "x unified",
      hoverlabel: { bgcolor: colours.raised, bordercolor: colours.line, font: { color: colours.ink } },
      // A finger that drags over a figure means to scroll the page.
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      autosize: true,
      showlegend: false,
    };
  }

  function draw() {
    const colours = palette();
    for (const { plot, data, layout, hidden } of figures) {
      const traces = data.map((trace) => coloured(trace, hidden, colours));
      Plotly.react(plot, traces, styled(structuredClone(layout), colours),
        { displayModeBar: false, responsive: true });
    }
  }

  function find() {
    for (const figure of document.querySelectorAll(".figure")) {
      const found = JSON.parse(figure.querySelector(".plot-data").textContent);
      const entry = { plot: figure.querySelector(".plot"), hidden: new Set(), ...found };
      figures.push(entry);
      for (const key of figure.querySelectorAll(".key")) {
        key.addEventListener("click", () => {
          const series = Number(key.dataset.series);
          const shown = entry.hidden.delete(series) || !entry.hidden.add(series);
          key.setAttribute("aria-pressed", String(shown));
          const own = entry.data.flatMap((t, i) => (t.meta.series === series ? [i] : []));
          Plotly.restyle(entry.plot, { visible: shown }, own);
        });
      }
    }
  }

  // ---- light and dark ----
  function themes() {
    const button = document.getElementById("theme");
    const refresh = () => {
      button.textContent = theme() === "dark" ? "Light theme" : "Dark theme";
      if (figures.length) draw();
    };
    button.addEventListener("click", () => {
      root.dataset.theme = theme() === "dark" ? "light" : "dark";
      remember(root.dataset.theme);
      refresh();
    });
    prefersDark.addEventListener("change", refresh);
    let before;
    addEventListener("beforeprint", () => {
      before = root.dataset.theme;
      root.dataset.theme = "light";
      refresh();
    });
    addEventListener("afterprint", () => {
      if (before) root.dataset.theme = before; else delete root.dataset.theme;
      refresh();
    });
    refresh();
  }

  // ---- commands that can be copied ----
  async function copy(button) {
    const code = button.closest(".command").querySelector("code");
    let says = "Copied";
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      getSelection().selectAllChildren(code);
      says = "Selected: press Ctrl+C";
    }
    const word = button.firstChild;
    word.textContent = says;
    document.getElementById("status").textContent = says;
    setTimeout(() => { word.textContent = "Copy"; }, 2000);
  }

  // A box is a stop of the Tab key only while there is something to scroll in it.
  function scrollStops() {
    const stop = ({ target: box }) => {
      const scrolls = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
      if (scrolls) box.tabIndex = 0; else box.removeAttribute("tabindex");
    };
    const watch = new ResizeObserver((entries) => entries.forEach(stop));
    document.querySelectorAll(".scroll, .command pre").forEach((box) => watch.observe(box));
  }

  addEventListener("DOMContentLoaded", () => {
    find();
    themes();
    scrollStops();
    for (const button of document.querySelectorAll(".copy")) {
      button.addEventListener("click", () => copy(button));
    }
  });
})();
