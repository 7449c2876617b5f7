"use strict";
(() => {
  const root = document.documentElement;
  const all = (where, what) => Array.from(where.querySelectorAll(what));
  const keep = (store, key, value) => { try { window[store].setItem(key, value); } catch { /* not allowed here */ } };
  const kept = (store, key) => { try { return window[store].getItem(key); } catch { return null; } };

  // The theme: that of the system until the button is used.
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const name = () => { button.textContent = isDark() ? "Light" : "Dark"; button.setAttribute("aria-label", `Use the ${isDark() ? "light" : "dark"} theme`); };
  const wanted = kept("localStorage", "normbench-theme");
  if (wanted === "light" || wanted === "dark") root.dataset.theme = wanted;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    keep("localStorage", "normbench-theme", root.dataset.theme);
    name();
  });
  system.addEventListener("change", name);
  name();

  // What a mark shows: its own words, or the row of its run.
  const tip = document.getElementById("tip");
  let shown = null;
  const planned = new Map(all(document, ".sortable").map((table) => [table, Array.from(table.tBodies[0].rows)]));
  const rowOf = (mark) => {
    const chapter = mark.closest(".chapter");
    return planned.get(chapter.querySelector(".sortable"))[Number(mark.dataset.r)];
  };
  const words = (mark) => {
    if (mark.dataset.w) {
      const panel = mark.closest(".panel");
      const axes = { "@": panel.dataset.x, "=": panel.dataset.y };
      const own = mark.dataset.w.split("; ").map((part) => (part[0] in axes ? `${axes[part[0]]} ${part.slice(1)}`.trim() : part));
      return [mark.parentNode.dataset.w, panel.dataset.w, ...own].filter(Boolean).join("\n");
    }
    const row = rowOf(mark);
    if (!row) return "";
    const heads = all(row.closest("table"), "thead button").map((head) => head.textContent);
    return all(row, "td").map((cell, i) => [heads[i], cell.textContent]).filter((pair) => pair[1]).map((pair) => pair.join(" ")).join("\n");
  };
  const hide = () => {
    if (!shown) return;
    shown.classList.remove("on");
    shown.closest(".panel").classList.remove("some");
    shown = null;
    tip.hidden = true;
  };
  const show = (mark, x, y) => {
    if (mark !== shown) {
      hide();
      shown = mark;
      mark.classList.add("on");
      mark.closest(".panel").classList.add("some");
      tip.textContent = words(mark);
      tip.hidden = false;
    }
    const box = tip.getBoundingClientRect();
    const left = x + 16 + box.width > innerWidth ? x - 16 - box.width : x + 16;
    const top = y + 16 + box.height > innerHeight ? y - 16 - box.height : y + 16;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${Math.max(8, top)}px`;
  };
  const around = [[0, 0], [0, -3], [0, 3], [-3, 0], [3, 0], [0, -6], [0, 6], [-6, 0], [6, 0]];
  const near = (event) => {
    for (const [dx, dy] of around) {
      const found = document.elementFromPoint(event.clientX + dx, event.clientY + dy);
      const mark = found && found.closest(".panel .i");
      if (mark) return mark;
    }
    return null;
  };
  for (const kind of ["pointermove", "pointerdown"]) {
    document.addEventListener(kind, (event) => {
      const mark = event.target.closest && event.target.closest(".panel") ? near(event) : null;
      if (mark) show(mark, event.clientX, event.clientY); else hide();
    });
  }
  // With the keyboard: a panel is one stop, the arrow keys go from mark to mark.
  document.addEventListener("keydown", (event) => {
    const panel = event.target.closest && event.target.closest(".panel");
    if (event.key === "Escape") hide();
    if (!panel) return;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step && event.key !== "Home" && event.key !== "End") return;
    const marks = all(panel, ".i").filter((mark) => !mark.classList.contains("off"));
    if (!marks.length) return;
    event.preventDefault();
    const now = marks.indexOf(document.activeElement);
    let next = step > 0 ? now + 1 : now < 0 ? marks.length - 1 : now - 1;
    if (event.key === "Home") next = 0;
    if (event.key === "End") next = marks.length - 1;
    const mark = marks[(next + marks.length) % marks.length];
    mark.setAttribute("tabindex", "-1");
    panel.setAttribute("role", "group"); // its marks have names of their own now
    mark.setAttribute("role", "img");
    mark.setAttribute("aria-label", words(mark).replaceAll("\n", "; "));
    mark.focus({ preventScroll: true });
    const box = mark.getBoundingClientRect();
    show(mark, Math.min(box.right, innerWidth - 20), Math.min(box.bottom, innerHeight - 20));
  });
  document.addEventListener("focusout", hide);
  addEventListener("scroll", hide, { passive: true });

  // The table of runs: sorted by a head, filtered by words and choices; the curves follow.
  all(document, ".runs").forEach((section, place) => {
    const table = section.querySelector(".sortable");
    const body = table.tBodies[0];
    const rows = planned.get(table);
    const heads = all(table, "thead th");
    const texts = rows.map((row) => Array.from(row.cells, (cell) => cell.textContent));
    const numeric = heads.map((head) => head.classList.contains("num"));
    rows.forEach((row) => Array.from(row.cells).forEach((cell, i) => { if (numeric[i]) cell.className = "num"; }));
    const key = `normbench-runs-${place}`;
    const state = { words: "", picks: {}, sort: -1, down: false, ...JSON.parse(kept("sessionStorage", key) || "{}") };
    const order = rows.map((_, i) => i);
    const sort = () => {
      heads.forEach((head, i) => { if (i === state.sort) head.setAttribute("aria-sort", state.down ? "descending" : "ascending"); else head.removeAttribute("aria-sort"); });
      if (state.sort < 0) return;
      const c = state.sort, sign = state.down ? -1 : 1;
      const value = (i) => (numeric[c] ? parseFloat(texts[i][c]) : texts[i][c]);
      order.sort((a, b) => {
        const x = texts[a][c], y = texts[b][c];
        if (x === "" || y === "") return (x === "") - (y === "") || a - b;
        const u = value(a), v = value(b);
        return (u < v ? -sign : u > v ? sign : 0) || a - b;
      });
      body.append(...order.map((i) => rows[i]));
    };
    const curves = new Map();
    all(section, ".curves [data-r]").forEach((curve) => curves.set(curve.dataset.r, curve));
    const output = section.querySelector("output");
    const filter = () => {
      const wordsWanted = state.words.toLowerCase().split(/\s+/).filter(Boolean);
      const picks = Object.entries(state.picks).filter((pick) => pick[1] !== "");
      let count = 0;
      rows.forEach((row, i) => {
        const line = texts[i].join(" ").toLowerCase();
        const good = wordsWanted.every((word) => line.includes(word)) && picks.every(([c, value]) => texts[i][c] === value.slice(1));
        row.hidden = !good;
        count += good;
        const curve = curves.get(String(i));
        if (curve) curve.classList.toggle("off", !good);
      });
      output.textContent = count === rows.length ? "" : `${count.toLocaleString("en")} of ${rows.length.toLocaleString("en")} runs`;
    };
    const save = () => keep("sessionStorage", key, JSON.stringify(state));
    heads.forEach((head, i) => head.querySelector("button").addEventListener("click", () => {
      state.down = state.sort === i ? !state.down : false;
      state.sort = i;
      sort();
      save();
    }));
    const input = section.querySelector("input");
    input.value = state.words;
    input.addEventListener("input", () => { state.words = input.value; filter(); save(); });
    const picks = section.querySelector(".picks");
    heads.forEach((head, c) => {
      const values = [...new Set(texts.map((line) => line[c]))];
      if (values.length < 2 || values.length > 30 || values.length > rows.length / 2) return;
      if (numeric[c]) values.sort((a, b) => parseFloat(a) - parseFloat(b));
      const label = document.createElement("label");
      const choice = document.createElement("select");
      choice.append(new Option("all", ""), ...values.map((value) => new Option(value === "" ? "none" : value, `=${value}`)));
      choice.value = state.picks[c] || "";
      choice.addEventListener("change", () => { state.picks[c] = choice.value; filter(); save(); });
      label.append(head.textContent, choice);
      picks.append(label);
    });
    sort();
    filter();
  });

  // A page of a training sweep loads itself again, unless it is paused.
  const pause = document.getElementById("pause");
  if (pause) {
    let paused = kept("sessionStorage", "normbench-paused") === "yes";
    const tell = () => { pause.textContent = paused ? "Resume" : "Pause"; pause.setAttribute("aria-pressed", String(paused)); };
    pause.addEventListener("click", () => { paused = !paused; keep("sessionStorage", "normbench-paused", paused ? "yes" : "no"); tell(); });
    tell();
    setInterval(() => { if (!paused && !document.hidden) location.reload(); }, 1000 * Number(root.dataset.live));
  }
})();
