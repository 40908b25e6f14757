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

  function palette(scheme = "") {
    const probe = document.body.appendChild(document.createElement("span"));
    probe.style.colorScheme = scheme;
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

  // What is folded away has no size: it is drawn once it is opened.
  function draw(some = figures) {
    const colours = palette();
    for (const { plot, data, layout, hidden } of some) {
      if (plot.closest("details:not([open])")) continue;
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
      for (const button of figure.querySelectorAll(".save")) {
        button.addEventListener("click", () => save(figure, entry, button.dataset.format));
      }
    }
  }

  // ---- figures as files: on white, with their title and legend, at a size of their own ----
  const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  function lines(text, width = 80) {
    const made = [""];
    for (const word of text.split(/\s+/)) {
      const longer = `${made.at(-1)} ${word}`.trim();
      if (longer.length > width && made.at(-1)) made.push(word); else made[made.length - 1] = longer;
    }
    return made;
  }

  function sheet(figure, { data, layout, hidden }) {
    const colours = palette("light");
    const title = lines(figure.querySelector(".figure-title").textContent);
    const made = styled(structuredClone(layout), colours);
    const traces = data.map((trace) => ({
      ...coloured(trace, hidden, colours),
      showlegend: trace.meta.role !== "band",
      name: trace.meta.role === "lost" ? `${trace.name}: not finite` : trace.name,
    }));
    const y = { text: plain(figure.querySelector(".y-title").textContent), font: { size: 13 }, standoff: 10 };
    return {
      data: traces,
      layout: {
        ...made,
        title: {
          text: title.map(plain).join("<br>"), font: { size: 18, color: colours.ink },
          x: 0.02, xanchor: "left", y: 0.97, yanchor: "top", yref: "container",
        },
        yaxis: { ...made.yaxis, title: y },
        margin: { l: 36, r: 24, t: 36 + 24 * title.length, b: 24 },
        paper_bgcolor: "#ffffff", plot_bgcolor: "#ffffff",
        legend: { orientation: "h", x: 0, y: -0.2, yanchor: "top" },
        showlegend: traces.filter((trace) => trace.showlegend).length > 1,
      },
    };
  }

  async function save(figure, entry, format) {
    const title = figure.querySelector(".figure-title").textContent;
    const filename = title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "").slice(0, 80) || "figure";
    const size = { width: 960, height: 560, scale: format === "png" ? 2 : 1 };
    await Plotly.downloadImage(sheet(figure, entry), { ...size, format, filename });
    document.getElementById("status").textContent = `Saved ${filename}.${format}`;
  }

  // ---- a link to what is folded away opens it ----
  function unfold(hash) {
    const target = document.getElementById(hash.slice(1));
    let fold = target && target.parentElement.closest("details");
    for (; fold; fold = fold.parentElement.closest("details")) fold.open = true;
    return target;
  }

  function folds() {
    document.addEventListener("toggle", ({ target }) => {
      if (target.open) draw(figures.filter(({ plot }) => target.contains(plot)));
    }, true);
    document.addEventListener("click", ({ target }) => {
      const link = target.closest("a[href^='#']");
      if (link) unfold(link.hash);  // before the browser goes there
    });
    const arrive = () => { const target = unfold(location.hash); if (target) target.scrollIntoView(); };
    addEventListener("hashchange", arrive);
    arrive();
    // Browsers are content with a part of what has the focus.
    document.addEventListener("focusin", ({ target }) => {
      if (target.matches(".matrix a:focus-visible")) target.scrollIntoView({ block: "nearest", inline: "nearest" });
    });
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
    folds();
    scrollStops();
    for (const button of document.querySelectorAll(".copy")) {
      button.addEventListener("click", () => copy(button));
    }
  });
})();
