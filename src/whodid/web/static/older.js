// Endless paging: when the link to older entries comes into view, their rows are added below. Without this script the
// link works by itself.
"use strict";

const rows = document.getElementById("rows");
const paging = document.getElementById("paging");

async function addOlder(link, observer) {
  observer.disconnect();
  const label = link.textContent;
  link.textContent = "Loading…";
  link.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(link.href, { headers: { Accept: "text/html" }, redirect: "error" });
    if (!answer.ok) throw new Error(answer.statusText);
    const older = new DOMParser().parseFromString(await answer.text(), "text/html");
    const found = older.getElementById("rows");
    if (!found) throw new Error("no rows");
    rows.append(...found.children);
    const next = older.getElementById("older");
    if (next) {
      link.replaceWith(next);
      watch();
    } else {
      link.replaceWith("That is all.");
    }
  } catch {
    link.textContent = `${label} (could not be loaded: try again)`;
    link.removeAttribute("aria-busy");
  }
}

function watch() {
  const link = document.getElementById("older");
  if (!link) return;
  const observer = new IntersectionObserver((seen) => {
    if (seen.some((one) => one.isIntersecting)) addOlder(link, observer);
  }, { rootMargin: "400px" });
  observer.observe(link);
}

if (rows && paging) watch();
