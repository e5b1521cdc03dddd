"use strict";
// Hover and keyboard details. Everything it shows also stands in the tables; without it the page is whole.
(() => {
  const tip = document.getElementById("tip");
  const clock = (ms) => {
    const s = Math.round(ms / 1000), d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24;
    const m = Math.floor(s / 60) % 60, two = (n) => String(n).padStart(2, "0");
    if (d) return `+${d}d ${h}:${two(m)}`;
    return h ? `+${h}:${two(m)}:${two(s % 60)}` : `+${m}:${two(s % 60)}`;
  };
  const show = (text, x, y) => {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(12, Math.min(x + 14, innerWidth - box.width - 12))}px`;
    tip.style.top = `${y + 18 + box.height > innerHeight ? Math.max(8, y - box.height - 14) : y + 18}px`;
  };
  const hide = () => {
    tip.hidden = true;
    document.querySelectorAll(".hair").forEach((one) => one.remove());
  };
  const at = (rows, ms) => {
    let found = null;
    for (const row of rows) { if (row[0] > ms) break; found = row; }
    return found;
  };
  const lane = (data, row, ms) => {
    const inside = (one) => one[0] <= ms && ms < one[1];
    const slack = data.length / 250;
    const near = (one) => one[0] - slack <= ms && ms <= one[1] + slack;
    const state = row[1].find(inside);
    const lines = [`${row[0]}  ${clock(ms)}`];
    if (state) lines.push(`${data.texts[state[2]]} ${clock(state[0])} to ${clock(state[1])}`);
    for (const act of row[2].filter(near)) lines.push(`${clock(act[0])} ${data.texts[act[2]]}`);
    return lines.join("\n");
  };
  const words = (plot, data, share, row) => {
    const ms = share * data.length;
    if ("lanes" in plot.dataset) {
      const rows = data.lanes[plot.dataset.lanes];
      return lane(data, rows[Math.max(0, Math.min(row, rows.length - 1))], ms);
    }
    if ("fleet" in plot.dataset) {
      const counts = at(data.fleet[plot.dataset.fleet], ms);
      if (!counts) return clock(ms);
      const said = data.states.map((word, i) => [word, counts[i + 1]]).filter((one) => one[1]);
      return [clock(ms), ...said.map((one) => `${one[1]} ${one[0]}`)].join("\n");
    }
    const counts = at(data.flight, ms) || [0, 0, 0];
    return `${clock(ms)}\n${counts[1]} for rollouts\n${counts[2]} for remedies`;
  };
  const point = (plot, data, share, row, y) => {
    hide();
    const box = plot.getBoundingClientRect();
    const hair = document.createElement("div");
    hair.className = "hair";
    hair.style.left = `${share * 100}%`;
    plot.append(hair);
    show(words(plot, data, share, row), box.left + share * box.width, y);
  };
  for (const article of document.querySelectorAll("article")) {
    const data = JSON.parse(article.querySelector(".data").textContent);
    for (const plot of article.querySelectorAll(".plot[tabindex]")) {
      const pitch = Number(plot.dataset.pitch || 1);
      let share = 0, row = 0;
      plot.addEventListener("pointermove", (event) => {
        const box = plot.getBoundingClientRect();
        share = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
        row = Math.floor((event.clientY - box.top) / pitch);
        point(plot, data, share, row, event.clientY);
      });
      plot.addEventListener("pointerleave", hide);
      plot.addEventListener("blur", hide);
      plot.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: [-0.01, 0], ArrowRight: [0.01, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
        if (event.key === "Escape") hide();
        if (!step || (step[1] && !("lanes" in plot.dataset))) return;
        event.preventDefault();
        share = Math.max(0, Math.min(1, share + step[0]));
        if (step[1]) row = Math.max(0, Math.min(row + step[1], data.lanes[plot.dataset.lanes].length - 1));
        const box = plot.getBoundingClientRect();
        point(plot, data, share, row, Math.min(box.top + (row + 1) * ("lanes" in plot.dataset ? pitch : 20), innerHeight - 80));
      });
    }
  }
  document.addEventListener("pointerover", (event) => {
    const one = event.target.closest("[data-tip]");
    if (one) show(one.dataset.tip, event.clientX, event.clientY);
    else if (!event.target.closest(".plot[tabindex]")) hide();
  });
})();
