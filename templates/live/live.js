"use strict";
(() => {
  const body = document.body;
  const connection = document.getElementById("connection");
  const filter = document.getElementById("filter");

  const filterRow = (row, words, state) => {
    const text = row.textContent.toLowerCase();
    row.hidden = (state && row.dataset.state !== state) || !words.every((word) => text.includes(word));
  };
  const filterAll = (within) => {
    if (!filter) return;
    const words = filter.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = (within || document).querySelectorAll("tr[data-state]");
    for (const row of rows) filterRow(row, words, filter.state.value);
    const left = document.querySelectorAll("tr[data-state]:not([hidden])").length;
    document.getElementById("shown").textContent = words.length || filter.state.value ? `${left} shown` : "";
  };
  const offerStates = () => {
    if (!filter) return;
    const known = new Set([...filter.state.options].map((option) => option.value));
    for (const row of document.querySelectorAll("tr[data-state]")) {
      if (known.has(row.dataset.state)) continue;
      known.add(row.dataset.state);
      filter.state.add(new Option(row.dataset.state.replaceAll("-", " "), row.dataset.state));
    }
  };

  const place = (id) => {
    const list = [...document.querySelectorAll("[data-prefix]")].find((one) => id.startsWith(one.dataset.prefix));
    if (!list) return null;
    const made = document.createElement(list.dataset.tag);
    made.id = `f-${id}`;
    if (list.dataset.newest === "first") list.querySelector(":scope > thead, :scope > caption") ? list.insertBefore(made, list.tBodies[0] || null) : list.prepend(made);
    else list.append(made);
    return made;
  };
  const show = (id, html) => {
    const known = document.getElementById(`f-${id}`);
    if (html === null) return known && known.remove();
    const node = known || place(id);
    if (!node) return;
    const open = new Set([...node.querySelectorAll("details[open] > summary")].map((fold) => fold.textContent));
    const focused = node.contains(document.activeElement) ? document.activeElement.getAttribute("href") || document.activeElement.id : "";
    node.innerHTML = html;
    for (const fold of node.querySelectorAll("summary")) if (open.has(fold.textContent)) fold.parentElement.open = true;
    if (focused) [...node.querySelectorAll("a[href], [id]")].find((one) => one.getAttribute("href") === focused || one.id === focused)?.focus();
    filterAll(node);
  };

  const said = (form, text) => { form.querySelector(".snb-said").textContent = text; };
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (form === filter) return event.preventDefault();
    if (!form.matches(".snb-form")) return;
    event.preventDefault();
    const sent = new URLSearchParams(new FormData(form, event.submitter));
    const buttons = form.querySelectorAll("button");
    for (const button of buttons) button.disabled = true;
    let told = { message: "the server does not answer; nothing was decided as far as this page knows", done: false };
    try {
      const answer = await fetch(form.action, { method: "POST", body: sent, headers: { Accept: "application/json" } });
      told = await answer.json();
    } catch (error) { console.debug(error); }
    said(form, [told.message, told.hint].filter(Boolean).join("\n"));
    for (const button of buttons) button.disabled = told.done;
  });
  if (filter) {
    filter.hidden = false;
    filter.addEventListener("input", () => filterAll());
    offerStates();
  }

  const source = new EventSource(`/events?page=${encodeURIComponent(body.dataset.page)}&since=${body.dataset.version}`);
  const state = (name, text) => { connection.dataset.state = name; connection.textContent = text; };
  source.onopen = () => state("live", "live");
  source.onerror = () => state("lost", "not connected: what you see may be old");
  source.addEventListener("end", () => {
    source.close();
    state("ended", "the server has ended; this is the last state");
  });
  source.onmessage = (event) => {
    const found = JSON.parse(event.data);
    for (const id of Object.keys(found)) show(id, found[id]);
    offerStates();
    state("live", `live, changed ${new Date().toLocaleTimeString()}`);
  };
})();
