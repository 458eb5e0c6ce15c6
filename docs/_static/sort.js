// Tables of the class "sortable": a press on a head sorts by its column, up, down, then as the page has it. Effects are
// sorted by their number and sign, all else by its letters. Without this script they are plain tables.

(() => {
  const next = { ascending: "descending", descending: null };

  const key = (row, column) => {
    const text = row.cells[column].textContent.trim();
    const effect = text.match(/(-?[\d.]+)((?: [^\s\d[\]]+)*) \[/); // "4.0 mg/dl better [2.9, 5.1]", "1.5 times [1.4, 1.6]"
    if (effect) return Number(effect[1]) * (/worse|smaller|fewer/.test(effect[2]) ? -1 : 1);
    return text;
  };

  const compare = (one, other) => {
    if (typeof one === "number" && typeof other === "number") return one - other;
    if (typeof one !== typeof other) return typeof one === "number" ? 1 : -1;
    return one.localeCompare(other, "en", { numeric: true });
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];

    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent.trim();
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        const direction = now === null ? "ascending" : next[now];
        for (const other of heads) other.removeAttribute("aria-sort");
        const order = [...rows];
        if (direction) {
          head.setAttribute("aria-sort", direction);
          const sign = direction === "ascending" ? 1 : -1;
          order.sort((one, other) => sign * compare(key(one, column), key(other, column)));
        }
        body.append(...order);
      });
      head.replaceChildren(button);
    });
  }
})();
