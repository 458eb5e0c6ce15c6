// What is wider than its place scrolls by itself: a keyboard reaches it too, as long as it does.
(() => {
  const reach = () => {
    document.querySelectorAll("pre, div.table-wrapper, div.math, div.table-scroll").forEach((each) => {
      if (each.scrollWidth > each.clientWidth || each.scrollHeight > each.clientHeight + 1) each.tabIndex = 0;
      else each.removeAttribute("tabindex");
    });
  };
  document.addEventListener("DOMContentLoaded", reach);
  window.addEventListener("load", reach);
  window.addEventListener("resize", reach);
})();
