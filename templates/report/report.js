(() => {
  "use strict";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const body = document.body;

  const colours = () => {
    const probe = document.createElement("span");
    body.append(probe);
    const read = (name) => {
      probe.style.color = `var(--snb-${name})`;
      return getComputedStyle(probe).color;
    };
    const found = { page: read("page"), text: read("text"), line: read("line") };
    probe.remove();
    return found;
  };

  const themed = (layout) => {
    const { page, text, line } = colours();
    const next = structuredClone(layout || {});
    delete next.title;  // the caption under the figure says it
    next.margin = { ...next.margin, t: 20 };
    Object.assign(next, { paper_bgcolor: page, plot_bgcolor: page, font: { ...next.font, color: text } });
    for (const name of Object.keys(next)) {
      if (/^[xy]axis\d*$/.test(name)) Object.assign(next[name], { gridcolor: line, linecolor: line, zerolinecolor: line });
    }
    return next;
  };

  const draw = () => {
    if (typeof Plotly === "undefined") return;
    for (const place of document.querySelectorAll(".snb-plot")) {
      const block = document.getElementById(place.dataset.figure);
      if (!block) continue;
      const figure = JSON.parse(block.textContent);
      body.classList.add("snb-live");
      Plotly.react(place, figure.data || [], themed(figure.layout), { displaylogo: false, responsive: true, displayModeBar: false });
    }
  };

  const say = (words) => {
    document.getElementById("snb-said").textContent = words;
  };

  const copy = async (command, button) => {
    try {
      await navigator.clipboard.writeText(command.textContent);
    } catch {
      getSelection().selectAllChildren(command);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    say("Command copied");
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  };

  for (const command of document.querySelectorAll("code.snb-command")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "snb-copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy: ${command.textContent}`);
    button.addEventListener("click", () => copy(command, button));
    command.after(button);
  }

  const reveal = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
    if (target) target.scrollIntoView();
  };

  draw();
  dark.addEventListener("change", draw);
  addEventListener("hashchange", reveal);
  reveal();
})();
