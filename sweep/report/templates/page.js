"use strict";
(() => {
  // Mark what has more at its right than is seen.
  for (const frame of document.querySelectorAll(".frame")) {
    const box = frame.querySelector(".scroll");
    const mark = () => frame.toggleAttribute(
      "data-more", box.scrollWidth - box.clientWidth - box.scrollLeft > 4);
    box.addEventListener("scroll", mark, { passive: true });
    new ResizeObserver(mark).observe(box);
    mark();
  }

  const table = document.getElementById("runs-table");
  if (!table) return;
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const keys = heads.map((head) => head.dataset.key.toLowerCase());
  const input = document.getElementById("filter");
  const status = document.getElementById("count");
  const more = document.getElementById("more");
  const PAGE = 100;
  let limit = PAGE;

  const rows = [...body.rows].map((row, order) => {
    const texts = [...row.cells].map((cell) => cell.textContent.trim());
    const numbers = texts.map((text) => (text === "" ? NaN : Number(text)));
    return { row, order, texts, numbers, all: texts.join("\n").toLowerCase() };
  });
  let sorted = rows;

  // A word is a text to look for, or a column compared with a value: lr=0.05, iters>100.
  const condition = (word) => {
    const parts = /^([^<>=]+)(<=|>=|=|<|>)(.+)$/.exec(word);
    const column = parts ? keys.indexOf(parts[1].toLowerCase()) : -1;
    if (column < 0) return (item) => item.all.includes(word.toLowerCase());
    const [, , sign, text] = parts;
    const value = Number(text);
    return (item) => {
      const number = item.numbers[column];
      if (sign === "=") {
        return number === value || item.texts[column].toLowerCase() === text.toLowerCase() ||
          (Number.isNaN(value) && item.all.includes(word.toLowerCase()));
      }
      if (sign === "<") return number < value;
      if (sign === ">") return number > value;
      return sign === "<=" ? number <= value : number >= value;
    };
  };

  const show = () => {
    const words = input.value.split(/\s+/).filter(Boolean).map(condition);
    let found = 0;
    for (const item of sorted) {
      const fits = words.every((test) => test(item));
      found += fits;
      item.row.hidden = !fits || found > limit;
    }
    const shown = Math.min(found, limit);
    status.textContent = `${found} of ${rows.length} runs` +
      (shown < found ? `, the first ${shown} shown` : "");
    more.hidden = shown >= found;
  };

  const compare = (column) => (a, b) => {
    const [x, y] = [a.numbers[column], b.numbers[column]];
    if (!Number.isNaN(x) && !Number.isNaN(y)) return x - y;
    return a.texts[column].localeCompare(b.texts[column], "en", { numeric: true });
  };

  const sortBy = (column) => {
    const ascending = heads[column].getAttribute("aria-sort") !== "ascending";
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const by = compare(column);
    const empty = (item) => item.texts[column] === "";
    // Runs without a value come last either way; equal ones stay as planned.
    sorted = [...rows].sort((a, b) =>
      empty(a) - empty(b) || (ascending ? by(a, b) : by(b, a)) || a.order - b.order);
    body.append(...sorted.map((item) => item.row));
    show();
  };

  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (button) button.addEventListener("click", () => sortBy(column));
  });
  input.addEventListener("input", () => { limit = PAGE; show(); });
  more.addEventListener("click", () => { limit = Infinity; show(); });
  document.getElementById("tools").hidden = false;
  show();
})();
