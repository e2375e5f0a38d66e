"use strict";
// The page can be read without any of this; it adds sorting, filtering, a theme of choice and an unfolded print.
(() => {
  const collator = new Intl.Collator("en", { numeric: true });
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Theme: what the system says until somebody chooses.
  const root = document.documentElement;
  const theme = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const remembered = (value) => {
    try {
      if (value) localStorage.setItem("didsim-theme", value);
      return localStorage.getItem("didsim-theme");
    } catch {
      return null;
    }
  };
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const name = () => { theme.textContent = isDark() ? "Light theme" : "Dark theme"; };
  if (["light", "dark"].includes(remembered())) root.dataset.theme = remembered();
  theme.hidden = false;
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remembered(root.dataset.theme);
    name();
  });
  dark.addEventListener("change", name);
  name();

  // Sorting: numbers by data-key, else by the text; what has no value stays last.
  const key = (row, place) => {
    const cell = row.cells[place];
    return cell.dataset.key ?? cell.textContent.trim();
  };
  const compare = (a, b, numeric) => (numeric ? Number(a) - Number(b) : collator.compare(a, b));
  const infinite = (text) => text.replace(/^(-?)inf(inity)?$/i, "$1Infinity");
  const sort = (table, place, ascending) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [infinite(key(row, place)), row]);
    const filled = rows.filter(([value]) => value !== "" && value !== "nan");
    const numeric = filled.every(([value]) => !Number.isNaN(Number(value)));
    filled.sort(([a], [b]) => (ascending ? 1 : -1) * compare(a, b, numeric));
    const empty = rows.filter(([value]) => value === "" || value === "nan");
    body.append(...[...filled, ...empty].map(([, row]) => row));
  };
  for (const table of all("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const ascending = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        sort(table, place, ascending);
      });
    });
  }

  // Filtering: words anywhere in a row, and choices among what its attribute of that name says.
  for (const form of all("form.filters")) {
    const rows = all(`#${form.dataset.table} > tbody > tr`);
    const said = form.querySelector("output");
    const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
    const filter = () => {
      const { text, ...choices } = Object.fromEntries(new FormData(form));
      const words = text.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of rows) {
        const chosen = ([name, choice]) => !choice || row.dataset[name].split("|").includes(choice);
        row.hidden = !(words.every((word) => texts.get(row).includes(word)) && Object.entries(choices).every(chosen));
      }
      said.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} ${said.dataset.word}`;
    };
    form.hidden = false;
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(filter));
    addEventListener("hashchange", () => {
      const row = document.getElementById(decodeURIComponent(location.hash.slice(1)));
      if (row?.hidden && rows.includes(row)) {
        form.reset();
        setTimeout(() => row.scrollIntoView());
      }
    });
  }

  // A picture takes the focus only where it has to be scrolled.
  const settle = () => {
    for (const card of all(".card[role=region], .wide")) {
      if (card.scrollWidth > card.clientWidth) card.tabIndex = 0;
      else card.removeAttribute("tabindex");
    }
  };
  addEventListener("resize", settle);
  settle();

  // Print shows what is folded away.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all("details:not([open])");
    folded.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((one) => { one.open = false; }));
})();
