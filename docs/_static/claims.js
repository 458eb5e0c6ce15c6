// The table of claims, filtered by the controls above it; sort.js sorts it. The address keeps the choice, so that a link
// shows the same claims. Without these scripts it is a plain table.

(() => {
  const table = document.querySelector("table.claims");
  if (!table) return;
  const rows = [...table.tBodies[0].rows];
  const column = Object.fromEntries([...table.tHead.rows[0].cells].map((head, i) => [head.textContent.trim(), i]));
  const said = (row, name) => [...row.cells[column[name]].querySelectorAll("p")].map((each) => each.textContent.trim());
  // "refuted", and "refuted: no difference that matters", which is one of its reasons
  const verdicts = (row, name) => [said(row, name)[0], said(row, name).join(": ")];

  const element = (name, content, attributes = {}) => {
    const made = document.createElement(name);
    made.append(...[content].flat());
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const select = (values) =>
    element("select", [
      element("option", "all", { value: "" }),
      ...[...new Set(values)].sort().map((value) => element("option", value)),
    ]);

  const filters = {
    verdict: { label: "Long trainings", of: (row) => verdicts(row, "Long trainings") },
    short: { label: "Short trainings", of: (row) => verdicts(row, "Short trainings") },
    section: { label: "Section", of: (row) => said(row, "Section") },
  };
  for (const each of Object.values(filters)) each.control = select(rows.flatMap(each.of));
  const words = element("input", [], { type: "search" });
  const controls = { words, ...Object.fromEntries(Object.entries(filters).map(([key, each]) => [key, each.control])) };
  const labels = { words: "Words", ...Object.fromEntries(Object.entries(filters).map(([key, each]) => [key, each.label])) };
  const status = element("p", [], { role: "status" });
  const form = element(
    "form",
    Object.entries(controls).map(([key, control]) => element("label", [element("span", labels[key]), control])),
    { class: "claims-filter", "aria-label": "Filter the claims" },
  );
  form.addEventListener("submit", (event) => event.preventDefault());

  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const all = row.textContent.toLowerCase();
      const matches = Object.values(filters).every(
        ({ control, of }) => !control.value || of(row).includes(control.value),
      );
      row.hidden = !(matches && wanted.every((word) => all.includes(word)));
      count += !row.hidden;
    }
    status.textContent = `${count} of ${rows.length} claims`;
  };

  const read = () => {
    const asked = new URLSearchParams(location.search);
    for (const [key, control] of Object.entries(controls)) control.value = asked.get(key) || "";
    filter();
  };
  const write = () => {
    const asked = new URLSearchParams();
    for (const [key, control] of Object.entries(controls)) if (control.value) asked.set(key, control.value);
    const query = asked.toString();
    history.replaceState(null, "", (query ? `?${query}` : location.pathname) + location.hash);
  };
  form.addEventListener("input", () => {
    filter();
    write();
  });

  const place = table.closest(".table-wrapper") || table;
  place.before(form, status);
  read();
})();
