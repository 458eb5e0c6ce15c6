// Figures whose points tell their values: to a mouse that comes near, to a tap, and to arrow keys on the focused figure.
// Where the points lie stands in a script beside the picture, loaded when a figure is first asked.
(() => {
  const REACH = { mouse: 24, touch: 36 }; // pixels to the nearest point
  const STEPS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10, Home: -1e9, End: 1e9 };

  const make = (name, attributes = {}) => {
    const made = document.createElement("div");
    made.className = name;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const tip = make("point-tip", { role: "tooltip" });
  const ring = make("point-ring");
  const hide = () => {
    tip.hidden = true;
    ring.remove();
  };

  const unfold = ({ panels, series }) =>
    series.flatMap(([panel, rows]) => {
      const [title, ...labels] = panels[panel];
      return rows.map(([left, top, x, y, name]) => {
        const values = [x, y].map((value, i) => value && (labels[i] ? `${labels[i]}: ${value}` : value));
        const lines = [[title, name].filter(Boolean).join(", "), ...values].filter(Boolean);
        return { left: left / 1e4, top: top / 1e4, lines };
      });
    });

  const loaded = (figure) =>
    (figure.points ??= new Promise((done) => {
      const script = document.createElement("script");
      script.src = figure.querySelector("img").src.replace(/\.webp$/, ".points.js");
      const name = script.src.match(/([^/]*)\.points\.js$/)[1];
      script.onload = () => done(unfold(window.figurePoints[name]));
      script.onerror = () => done([]);
      document.head.append(script);
    }));

  const place = (figure, { left, top }) => {
    const box = figure.getBoundingClientRect();
    return [box.left + left * box.width, box.top + top * box.height];
  };

  const show = (figure, point) => {
    figure.append(ring);
    ring.style.left = `${100 * point.left}%`;
    ring.style.top = `${100 * point.top}%`;
    tip.replaceChildren(...point.lines.map((line) => Object.assign(make(""), { textContent: line })));
    tip.hidden = false;
    const [x, y] = place(figure, point);
    const [width, height] = [tip.offsetWidth, tip.offsetHeight];
    const right = x + 14 + width < document.documentElement.clientWidth - 8;
    tip.style.left = `${Math.max(8, right ? x + 14 : x - 14 - width)}px`;
    tip.style.top = `${y - 12 - height > 8 ? y - 12 - height : y + 14}px`;
  };

  const near = async (figure, event) => {
    let [nearest, least] = [null, REACH[event.pointerType] ?? REACH.mouse];
    for (const point of await loaded(figure)) {
      const [x, y] = place(figure, point);
      const away = Math.hypot(x - event.clientX, y - event.clientY);
      if (away < least) [nearest, least] = [point, away];
    }
    if (nearest) show(figure, nearest);
    else hide();
  };

  const equip = (figure) => {
    let at = 0;
    const slider = make("point-slider", {
      role: "slider",
      tabindex: 0,
      "aria-label": "Values of the figure's points",
      "aria-valuemin": 1,
      "aria-valuemax": figure.dataset.points,
      "aria-valuenow": 1,
      "aria-valuetext": "arrow keys walk from point to point",
    });
    const walk = async (step) => {
      const points = await loaded(figure);
      if (!points.length) return;
      at = Math.min(Math.max(at + step, 0), points.length - 1);
      slider.setAttribute("aria-valuenow", at + 1);
      slider.setAttribute("aria-valuetext", points[at].lines.join(", "));
      show(figure, points[at]);
    };
    slider.addEventListener("keydown", (event) => {
      if (!(event.key in STEPS)) return;
      event.preventDefault();
      walk(STEPS[event.key]);
    });
    slider.addEventListener("focus", () => walk(0));
    slider.addEventListener("blur", hide);
    figure.append(slider);
    figure.addEventListener("pointermove", (event) => event.pointerType === "touch" || near(figure, event));
    figure.addEventListener("pointerleave", (event) => event.pointerType === "touch" || hide());
    figure.addEventListener("click", (event) => near(figure, event));
  };

  hide();
  document.querySelectorAll("div.pointed").forEach(equip);
  (document.querySelector("article") ?? document.body).append(tip);
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  document.addEventListener("pointerdown", (event) => event.target.closest("div.pointed") || hide());
  document.addEventListener("scroll", hide, { passive: true });
})();
