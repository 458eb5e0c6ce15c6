// The table of claims, filtered by the controls above it; sort.js sorts it. Without these scripts it is a plain table.

(() => {
  const table = document.querySelector("table.claims");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const column = Object.fromEntries(heads.map((head, i) => [head.textContent.trim(), i]));
  const text = (row, name) => row.cells[column[name]].textContent.trim();
  const verdict = (row, name) => text(row, name).replace(/ \(.*/s, "");

  const element = (name, content, attributes = {}) => {
    const made = document.createElement(name);
    made.append(...[content].flat());
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };

  const words = element("input", [], { type: "search" });
  const select = (values) =>
    element("select", [
      element("option", "all", { value: "" }),
      ...[...new Set(values)].sort().map((value) => element("option", value)),
    ]);
  const long = select(rows.map((row) => verdict(row, "Long")));
  const section = select(rows.map((row) => text(row, "Section")));
  const kind = select(rows.flatMap((row) => text(row, "Kind").split(", ")));
  const said = element("p", [], { role: "status" });
  const controls = element(
    "form",
    [
      ["Words", words],
      ["Verdict, long", long],
      ["Section", section],
      ["Kind", kind],
    ].map(([name, control]) => element("label", [element("span", name), control])),
    { class: "claims-filter", "aria-label": "Filter the claims" },
  );
  controls.addEventListener("submit", (event) => event.preventDefault());

  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const all = row.textContent.toLowerCase();
      const shown =
        wanted.every((word) => all.includes(word)) &&
        (!long.value || verdict(row, "Long") === long.value) &&
        (!section.value || text(row, "Section") === section.value) &&
        (!kind.value || text(row, "Kind").split(", ").includes(kind.value));
      row.hidden = !shown;
      count += shown;
    }
    said.textContent = `${count} of ${rows.length} claims`;
  };
  controls.addEventListener("input", filter);

  long.value = new URLSearchParams(location.search).get("verdict") ?? ""; // as the landing page asks

  const place = table.closest(".table-wrapper") || table;
  place.before(controls, said);
  filter();
})();
