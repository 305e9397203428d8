// Additions to links and forms, which work without this script: times in the viewer's time zone, older entries when
// scrolling, live updates, completion of the query, selection of a time span in the histogram, and progress of exports.
"use strict";

const get = (id) => document.getElementById(id);
const say = (text) => { const status = get("status"); if (status) status.textContent = text; };
const number = new Intl.NumberFormat("en");

// Times are shown in the viewer's time zone, with UTC as their title; `datetime` keeps the value of the server.

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const local = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium" });

function localise(part) {
  if (["UTC", "Etc/UTC", "GMT", "Etc/GMT"].includes(zone)) return;
  for (const time of part.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (isNaN(at)) continue;
    time.title = `${time.dateTime} UTC`;
    time.textContent = local.format(at);
  }
  for (const name of document.querySelectorAll("[data-zone]")) name.textContent = zone;
  for (const line of document.querySelectorAll("[data-local]")) line.hidden = false;
}

// Older entries are added below when the link to them becomes visible.

async function rowsOf(url) {
  const answer = await fetch(url, { headers: { Accept: "text/html" }, redirect: "error" });
  if (!answer.ok) throw new Error(answer.statusText);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const found = page.getElementById("rows");
  if (!found) throw new Error("no rows");
  localise(found);
  return { rows: [...found.children], next: page.getElementById("older") };
}

async function addOlder(link, observer) {
  observer.disconnect();
  const label = link.textContent;
  link.textContent = "Loading…";
  link.setAttribute("aria-busy", "true");
  try {
    const older = await rowsOf(link.href);
    const known = new Set([...get("rows").children].map((row) => row.dataset.place));
    get("rows").append(...older.rows.filter((row) => !known.has(row.dataset.place)));
    link.replaceWith(older.next || "No more entries");
    watchOlder();
  } catch {
    link.textContent = `${label} (loading failed; try again)`;
    link.removeAttribute("aria-busy");
  }
}

function watchOlder() {
  const link = get("older");
  if (!link) return;
  const observer = new IntersectionObserver((seen) => {
    if (seen.some((one) => one.isIntersecting)) addOlder(link, observer);
  }, { rootMargin: "400px" });
  observer.observe(link);
}

// Live updates insert new entries by their time, except those older than the rows that are shown.

const EVERY = 3000;

function merge(rows) {
  const shown = get("rows");
  const known = new Set([...shown.children].map((row) => row.dataset.place));
  const oldest = get("older") ? shown.lastElementChild.dataset.place : "";
  let added = 0;
  for (const row of rows) {
    if (known.has(row.dataset.place) || row.dataset.place < oldest) continue;
    const behind = [...shown.children].find((other) => other.dataset.place < row.dataset.place);
    row.classList.add("new");
    shown.insertBefore(row, behind || null);
    added += 1;
  }
  return added;
}

function live(button) {
  let timer = 0;
  let total = 0;
  async function look() {
    if (document.visibilityState === "visible") {
      try {
        const { rows } = await rowsOf(button.dataset.url);
        if (!get("rows") && rows.length) return location.reload();
        const first = get("rows")?.firstElementChild;
        if (rows.length && first && !rows.some((row) => row.dataset.place <= first.dataset.place)) {
          return location.reload(); // more entries are new than were loaded
        }
        total += get("rows") ? merge(rows) : 0;
        say(total ? `${number.format(total)} new since live updates started` : "live");
      } catch {
        say("live, but OpenSearch or this server is not reachable at the moment");
      }
    }
    if (timer) timer = setTimeout(look, EVERY);
    return undefined;
  }
  function turn(on) {
    clearTimeout(timer);
    timer = on ? setTimeout(look, 0) : 0;
    button.setAttribute("aria-pressed", String(on));
    sessionStorage.setItem("whodid-live", on ? "1" : "");
    if (!on) say("");
  }
  button.hidden = false;
  button.addEventListener("click", () => turn(button.getAttribute("aria-pressed") !== "true"));
  if (sessionStorage.getItem("whodid-live")) turn(true);
}

// Completion: the combobox of the ARIA Authoring Practices.

function completion(input) {
  const list = get("suggestions");
  let found = [];
  let chosen = -1;
  let asked = 0;

  function show() {
    list.replaceChildren(...found.map((one, place) => {
      const line = document.createElement("li");
      line.id = `suggestion-${place}`;
      line.setAttribute("role", "option");
      line.setAttribute("aria-selected", String(place === chosen));
      const text = document.createElement("b");
      text.textContent = one.text;
      line.append(text, ` ${one.about}`);
      line.addEventListener("mousedown", (event) => { event.preventDefault(); accept(place); });
      return line;
    }));
    list.hidden = !found.length;
    input.setAttribute("aria-expanded", String(found.length > 0));
    if (chosen >= 0) {
      input.setAttribute("aria-activedescendant", `suggestion-${chosen}`);
      list.children[chosen].scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  }
  function close() { found = []; chosen = -1; asked += 1; show(); }
  function accept(place) {
    const one = found[place];
    const end = input.selectionStart;
    const text = one.text.endsWith(":") ? one.text : `${one.text} `;
    const before = [...input.value.slice(0, end)].slice(0, one.start).join(""); // `start` counts code points, not UTF-16 units
    input.setRangeText(text, before.length, end, "end");
    close();
    if (text.endsWith(":")) ask();
  }
  async function ask() {
    const mine = asked += 1;
    const written = input.value.slice(0, input.selectionStart);
    await new Promise((done) => { setTimeout(done, 80); });
    if (mine !== asked) return;
    try {
      const answer = await fetch(`${input.dataset.complete}?${new URLSearchParams({ q: written })}`);
      const suggestions = answer.ok ? await answer.json() : [];
      if (mine !== asked) return;
      found = suggestions;
      chosen = -1;
      show();
    } catch { close(); }
  }
  input.addEventListener("input", ask);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && !found.length) { ask(); event.preventDefault(); return; }
    if (!found.length) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      chosen = event.key === "ArrowDown" ? (chosen + 1) % found.length : (chosen <= 0 ? found.length : chosen) - 1;
      show();
    } else if (event.key === "Enter" && chosen >= 0) accept(chosen);
    else if (event.key === "Tab" && !event.shiftKey && chosen >= 0) accept(chosen);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
  });
}

// Dragging over bars, or arrow keys with Shift and then Enter, filter by their time span.

function brush(svg) {
  const bars = [...svg.querySelectorAll("a")];
  const figure = svg.parentElement; // an SVG with a key listener would be an additional tab stop
  const caption = figure.querySelector("figcaption");
  const span = caption.textContent;
  const mark = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  mark.setAttribute("class", "brush");
  mark.setAttribute("height", "100");
  let from = -1;
  let dragged = false;
  let anchor = -1;
  const within = (place) => Math.min(Math.max(place, 0), bars.length - 1);
  const at = (event) => {
    const box = svg.getBoundingClientRect();
    return within(Math.floor(((event.clientX - box.left) / box.width) * bars.length));
  };
  const ends = (one, other) => [Math.min(one, other), Math.max(one, other)];
  function show(first, last) {
    mark.setAttribute("x", String(first * 10));
    mark.setAttribute("width", String((last - first + 1) * 10));
    svg.append(mark);
  }
  function ask(first, last) {
    const [asked, end] = [first, last].map((place) => new URL(bars[place].getAttribute("href"), location));
    asked.searchParams.set("until", end.searchParams.get("until"));
    location.assign(asked);
  }
  svg.addEventListener("dragstart", (event) => event.preventDefault());
  svg.addEventListener("pointerdown", (event) => { if (event.button === 0) { from = at(event); dragged = false; } });
  addEventListener("pointermove", (event) => {
    if (from < 0) return;
    const [first, last] = ends(from, at(event));
    if (first === last && !dragged) return;
    dragged = true;
    show(first, last);
  });
  addEventListener("pointerup", (event) => {
    if (from < 0) return;
    const [first, last] = ends(from, at(event));
    from = -1;
    if (dragged) ask(first, last);
  });
  addEventListener("pointercancel", () => { from = -1; mark.remove(); });
  svg.addEventListener("click", (event) => { if (dragged) event.preventDefault(); }, true);

  bars.at(-1).setAttribute("tabindex", "0");
  figure.addEventListener("focusin", (event) => {
    if (bars.includes(event.target)) caption.textContent = event.target.getAttribute("aria-label");
  });
  figure.addEventListener("focusout", () => { caption.textContent = span; });
  figure.addEventListener("keydown", (event) => {
    const place = bars.indexOf(event.target);
    const next = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: bars.length - 1 }[event.key];
    if (place < 0) return;
    if (next !== undefined) {
      if (!event.shiftKey) { anchor = -1; mark.remove(); } else if (anchor < 0) anchor = place;
      bars[place].setAttribute("tabindex", "-1");
      bars[within(next)].setAttribute("tabindex", "0");
      bars[within(next)].focus();
      if (anchor >= 0) show(...ends(anchor, within(next)));
    } else if (event.key === "Enter" && anchor >= 0) ask(...ends(anchor, place));
    else if (event.key === "Escape" && anchor >= 0) { anchor = -1; mark.remove(); } else return;
    event.preventDefault();
  });
}

// An export shows its progress, can be stopped, and never saves an incomplete file.

async function download(link) {
  const panel = get("export");
  const bar = panel.querySelector("progress");
  const text = panel.querySelector("span");
  const stop = new AbortController();
  const button = panel.querySelector("button");
  button.onclick = () => stop.abort();
  panel.hidden = button.hidden = false;
  link.setAttribute("aria-busy", "true");
  text.textContent = "Exporting…";
  bar.removeAttribute("value");
  try {
    const answer = await fetch(link.href, { signal: stop.signal });
    if (!answer.ok) throw new Error((await answer.json()).message);
    const total = Number(answer.headers.get("X-Entries"));
    bar.max = total;
    const reader = answer.body.getReader();
    const parts = [];
    let lines = 0;
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      parts.push(piece.value);
      for (const byte of piece.value) if (byte === 10) lines += 1;
      bar.value = lines;
      text.textContent = `${number.format(lines)} of ${number.format(total)} entries`;
    }
    const save = document.createElement("a");
    save.href = URL.createObjectURL(new Blob(parts, { type: "application/x-ndjson" }));
    save.download = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition"))[1];
    save.click();
    setTimeout(() => URL.revokeObjectURL(save.href), 60000);
    text.textContent = `${number.format(lines)} entries exported`;
  } catch (error) {
    text.textContent = error.name === "AbortError" ? "Stopped; nothing was saved"
      : `The export failed, and nothing was saved: ${error.message}`;
  } finally {
    button.hidden = true;
    link.removeAttribute("aria-busy");
  }
}

localise(document);
if (get("rows")) watchOlder();
for (const button of document.querySelectorAll("[data-live]")) live(button);
for (const input of document.querySelectorAll("[data-complete]")) completion(input);
for (const svg of document.querySelectorAll(".histogram svg")) brush(svg);
for (const link of document.querySelectorAll("[data-export]")) {
  link.addEventListener("click", (event) => { event.preventDefault(); download(link); });
}
