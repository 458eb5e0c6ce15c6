// How search ranks its hits: the public object or package of that name, then the guide and symptoms (pages named for the
// query first), knobs, then gallery scripts and the rest, then what the reference says on other pages. Sphinx sorts by `score`;
// the other numbers are Sphinx's defaults.

const READING = /^(guide|symptoms|models|howto|notebooks|start|index|cheat-sheet|glossary)\b/;
const KNOBS = /^knobs\//;
const REFERENCE = /^api\//;

const asked = () =>
  (new URLSearchParams(window.location.search).get("q") || "").toLowerCase().trim();

var Scorer = {
  score: ([page, title, anchor, description, score, file, kind]) => {
    const query = asked();
    const name = title.toLowerCase();
    if (kind === "object") {
      if (page.replace(/-class$/, "") !== `api/generated/${title}`) return score / 2; // a method or an attribute
      return name === query || name.endsWith(`.${query}`) ? 40 : 12;
    }
    const limited = Math.min(score, 15);
    if (READING.test(page)) return limited + (name.startsWith(query) ? 15 : 10);
    if (KNOBS.test(page)) return limited + (name === query ? 15 : 5);
    return REFERENCE.test(page) ? limited / 2 : limited;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
