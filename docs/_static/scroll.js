// What is wider than its place scrolls by itself: a keyboard reaches it too, as long as it does. Tables whose rows are cards
// on a narrow screen stay told as tables.
(() => {
  const reach = () => {
    document.querySelectorAll("pre, div.table-wrapper, div.math, div.table-scroll").forEach((each) => {
      if (each.scrollWidth > each.clientWidth || each.scrollHeight > each.clientHeight + 1) each.tabIndex = 0;
      else each.removeAttribute("tabindex");
    });
  };
  const tell = (elements, role) => [...elements].forEach((each) => each.setAttribute("role", role));
  const name = () => {
    document.querySelectorAll("table.cards").forEach((table) => {
      tell([table], "table");
      tell(table.querySelectorAll("thead, tbody"), "rowgroup");
      tell(table.rows, "row");
      tell(table.querySelectorAll("td"), "cell");
      tell(table.querySelectorAll("thead th"), "columnheader");
      tell(table.querySelectorAll("tbody th"), "rowheader");
    });
  };
  document.addEventListener("DOMContentLoaded", name);
  document.addEventListener("DOMContentLoaded", reach);
  window.addEventListener("load", reach);
  window.addEventListener("resize", reach);
})();
