// What the rest of a page says to the player and hears from it, through events of the window:
// the player announces `shapewalk:step` and obeys `shapewalk:goto`, both with a step's path.

const REST_MILLISECONDS = 350;

const cleanups = new WeakMap();
let revealed = 0;
let revealing = new AbortController();
let focused = 0;
let gone = "";

// Before anything here that asks for the current step: the player's own page script does the same,
// but which of the two is loaded first is up to the browser.
window.addEventListener("shapewalk:step", ({ detail }) => {
  window.shapewalkPath = detail.path;
});

function currentPath() {
  return window.shapewalkPath ?? "0";
}

function goTo(path) {
  window.dispatchEvent(new CustomEvent("shapewalk:goto", { detail: { path } }));
}

function showPlayer() {
  const player = document.querySelector(".st-key-player");
  if (!player || player.getBoundingClientRect().top >= 0) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  player.scrollIntoView({ block: "start", behavior: still ? "auto" : "smooth" });
}

/** Scroll the chart alone, never the page: the reader may be looking at the player. */
function reveal(chart, node) {
  const [frame, box] = [chart.getBoundingClientRect(), node.getBoundingClientRect()];
  if (box.left < frame.left || box.right > frame.right) {
    chart.scrollLeft += (box.left + box.right - frame.left - frame.right) / 2;
  }
  if (box.top < frame.top || box.bottom > frame.bottom) {
    chart.scrollTop += (box.top + box.bottom - frame.top - frame.bottom) / 2;
  }
}

const roles = {
  // A row of the table was chosen on the server.
  goto({ path, request }) {
    // A table that is drawn again has its chosen row still, and the reader may be elsewhere.
    if (gone === request) return;
    gone = request;
    goTo(path);
    showPlayer();
  },

  // An answer came: bring it into view, and keep it there while the page around it is being built,
  // however long that takes, until the reader moves on.  Who has asked for it in the editor has the
  // keyboard there too, not in a text that is out of sight, if he is done `writing`.
  reveal({ within, count, writing }) {
    if (revealed === count) return;
    revealed = count;
    revealing.abort();
    const reader = new AbortController();
    revealing = reader;
    for (const moves of ["wheel", "touchstart", "pointerdown", "keydown", "popstate"]) {
      window.addEventListener(moves, () => reader.abort(), { once: true, signal: reader.signal });
    }
    const bring = () => {
      const box = document.querySelector(`.st-key-${within}`);
      if (!box) return;
      const { top } = box.getBoundingClientRect();
      // With the beginning of what stands below it.
      const shown = top >= 40 && top + 420 <= window.innerHeight;
      if (!shown) box.scrollIntoView({ block: "start" });
      if (writing || !document.activeElement?.closest(".shapewalk-editor")) return;
      box.setAttribute("tabindex", "-1");
      box.focus({ preventScroll: true });
    };
    const building = new ResizeObserver(bring);
    building.observe(document.querySelector("[data-testid=stMainBlockContainer]"));
    reader.signal.addEventListener("abort", () => building.disconnect());
  },

  // Who came for this field can write in it at once, unless he is at something else by now.
  focus({ within, count }) {
    if (focused === count) return;
    const find = () => {
      const field = document.querySelector(`.st-key-${within} input`);
      if (!field) return;
      building.disconnect();
      focused = count;
      if (!document.activeElement?.matches("input, textarea, select")) field.focus();
    };
    const building = new MutationObserver(find);
    building.observe(document.body, { childList: true, subtree: true });
    find();
    return () => building.disconnect();
  },

  // The page's address says this too, in the entry of the history that it has.
  address({ query }) {
    const wanted = new URLSearchParams(location.search);
    for (const [name, value] of query) value === "" ? wanted.delete(name) : wanted.set(name, value);
    if (wanted.toString() === new URLSearchParams(location.search).toString()) return;
    history.replaceState(history.state, "", `${location.pathname}?${wanted}${location.hash}`);
  },

  // After a time without the server it may be another, or have forgotten this page: it is asked, and
  // what it draws is what the address says.
  again(_, place, setStateValue, setTriggerValue) {
    const ask = () => setTriggerValue("back", true);
    window.addEventListener("shapewalk:back", ask);
    return () => window.removeEventListener("shapewalk:back", ask);
  },

  // The address as it stands: Streamlit tells the server the one that it wrote last itself.
  asked(_, place, setStateValue) {
    if (place.dataset.told === location.search) return;
    place.dataset.told = location.search;
    setStateValue("search", location.search);
  },

  // The server looks at the step on screen too, where the reader rests.
  follow(_, place, setStateValue) {
    let waiting = null;
    const tell = () => {
      if (place.dataset.told === currentPath()) return;
      place.dataset.told = currentPath();
      setStateValue("step", currentPath());
    };
    const rest = () => {
      clearTimeout(waiting);
      waiting = setTimeout(tell, REST_MILLISECONDS);
    };
    tell();
    window.addEventListener("shapewalk:step", rest);
    return () => {
      clearTimeout(waiting);
      window.removeEventListener("shapewalk:step", rest);
    };
  },

  // The graph beside it: mark the current step, and go to a step that is clicked.
  graph({ within }) {
    const pattern = /^(?:step|call-\d+)-(\d+)(?:-(\d+))?$/;
    const chart = document.querySelector(`.st-key-${within}`);
    if (!chart) return;
    const mark = () => {
      // One graph would glide into the next, which nobody sees: to work out how takes longer than
      // all else that a page does when a size is changed.
      const drawing = chart.querySelector("[data-testid=stGraphVizChart]")?.__graphviz__;
      drawing?.tweenShapes(false).tweenPaths(false);
      const step = Number.parseInt(currentPath(), 10);
      for (const node of chart.querySelectorAll("g.node")) {
        const range = pattern.exec(node.id);
        if (!range) continue;
        const [start, stop] = [Number(range[1]), Number(range[2] ?? Number(range[1]) + 1)];
        const current = start <= step && step < stop;
        node.classList.toggle("shapewalk-current", current);
        if (!current) node.removeAttribute("aria-current");
        else if (!node.hasAttribute("aria-current")) {
          node.setAttribute("aria-current", "step");
          reveal(chart, node);
        }
        node.setAttribute("tabindex", "0");
        node.setAttribute("role", "button");
      }
    };
    const chosen = (event) => {
      if (event.type === "keydown" && event.key !== "Enter" && event.key !== " ") return;
      const node = event.target.closest?.("g.node");
      const path = pattern.exec(node?.id ?? "")?.[1];
      if (path === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      goTo(path);
    };
    mark();
    const redrawn = new MutationObserver(mark);
    redrawn.observe(chart, { childList: true, subtree: true });
    window.addEventListener("shapewalk:step", mark);
    chart.addEventListener("click", chosen);
    chart.addEventListener("keydown", chosen);
    return () => {
      redrawn.disconnect();
      window.removeEventListener("shapewalk:step", mark);
      chart.removeEventListener("click", chosen);
      chart.removeEventListener("keydown", chosen);
    };
  },
};

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const place = parentElement.querySelector(".place");
  cleanups.get(place)?.();
  cleanups.set(place, roles[data.role]?.(data, place, setStateValue, setTriggerValue));
  return () => {
    if (!place.isConnected) cleanups.get(place)?.(); // else asked of a call that a newer one follows
  };
}
