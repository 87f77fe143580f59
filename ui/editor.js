// The editor of one's own code: Ace, as an installed package brings it, with what a run has told
// marked in the text. What is typed is the reader's; the server writes only when it counts one up.

const PAUSE = 400;
const editors = new WeakMap();
let loading = null;

/** What is typed is kept in the browser with what it was made of, the text that the address holds, should
 * the page be loaded anew before it was run or with more than an address holds: for this tab, and for
 * another one that comes to the next start of the server, whose address is a new one. */
const KEPT = "shapewalk:code";

/** With the other files of its program, where these are not too much. */
function keep(text, of, { start, program }) {
  if (!program) return;
  try {
    sessionStorage.setItem(KEPT, JSON.stringify({ text, of, program }));
    localStorage.setItem(KEPT, JSON.stringify({ text, of, program, start }));
  } catch {
    // The reader's browser keeps nothing, or this is too much for it.
  }
}

function kept({ start }) {
  try {
    const here = JSON.parse(sessionStorage.getItem(KEPT));
    if (here) return here;
    const last = JSON.parse(localStorage.getItem(KEPT));
    return last && last.start !== start ? last : { text: "" };
  } catch {
    return { text: "" };
  }
}

/** What a session of the server begins with: what the reader had made of the text that it knows, and
 * all files of which that is one, should they be several: `{text, files}`. */
function begun(entry, latest) {
  const { of, program } = entry;
  const mine = entry.session ? { text: entry.editor.getValue(), of, program } : kept(latest);
  const goesOn = latest.fresh && (latest.text === "" || latest.text === mine.of);
  if (!goesOn || !mine.text) return { text: latest.text, files: null };
  const { others = {}, main, shown } = mine.program ?? {};
  if (Object.keys(others).length === 0) return { text: mine.text, files: null };
  return { text: latest.text, files: { texts: { ...others, [shown]: mine.text }, main, shown } };
}

/** Ace, once for all pages: a plain script that leaves its one name in the window. */
function loaded(path) {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL(path.replace(/^\//, ""), document.baseURI);
    script.onload = () => resolve(window.ace);
    script.onerror = () => {
      loading = null;
      script.remove();
      reject(new Error("the editor did not come"));
    };
    document.head.append(script);
  });
  return loading;
}

/** The colours are the page's own: the theme is in the style sheet. */
const THEME = { cssClass: "ace-shapewalk", cssText: "", isDark: false };

function made(ace, place, data, send) {
  ace.config.setMessages(data.messages);
  const editor = ace.edit(place, {
    useWorker: false,
    mode: "ace/mode/python",
    value: data.text,
    tabSize: 4,
    useSoftTabs: true,
    showPrintMargin: false,
    fontSize: 13,
    scrollPastEnd: 0.1,
    enableKeyboardAccessibility: true,
    textInputAriaLabel: data.label,
    placeholder: data.placeholder,
  });
  editor.setTheme(THEME);
  editor.renderer.setPadding(8);
  // These fetch more of Ace from where there is none.
  editor.commands.removeCommands(["showSettingsMenu", "openCommandPalette", "gotoline"]);
  editor.session.getUndoManager().reset();
  editor.selection.clearSelection();
  let timer = 0;
  const flush = () => {
    clearTimeout(timer);
    send(editor.getValue());
  };
  editor.session.on("change", () => {
    clearTimeout(timer);
    timer = setTimeout(flush, PAUSE);
  });
  editor.on("blur", flush);
  // Before the page's own shortcut, which runs what the server has.
  place.addEventListener(
    "keydown",
    (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) flush();
    },
    { capture: true },
  );
  return editor;
}

/** Sentences on hover over what is marked. */
function hovering(ace, editor, told) {
  const { HoverTooltip } = ace.require("ace/tooltip");
  const { Range } = ace.require("ace/range");
  const tooltip = new HoverTooltip();
  tooltip.setDataProvider((event) => {
    const { row, column } = event.getDocumentPosition();
    const found = told.marks.find((mark) => ranged(Range, mark).contains(row, column));
    if (!found) return;
    const words = document.createElement("div");
    words.className = "told";
    words.textContent = found.text;
    // It hangs on the page's body, where the theme's colours are not.
    const look = getComputedStyle(editor.container);
    const { style } = tooltip.getElement();
    [style.color, style.backgroundColor] = [look.color, look.backgroundColor];
    tooltip.showForRange(editor, ranged(Range, found), words, event);
  });
  tooltip.addToEditor(editor);
}

function ranged(Range, mark) {
  return new Range(mark.line - 1, mark.column, mark.end_line - 1, mark.end_column);
}

/** What a run made, behind the ends of its lines. */
function shapes(editor, told) {
  const layer = document.createElement("div");
  layer.className = "shapes";
  layer.setAttribute("aria-hidden", "true");
  editor.renderer.content.append(layer);
  editor.renderer.on("afterRender", () => {
    const { firstRow, lastRow } = editor.renderer.layerConfig;
    const nodes = [];
    for (let row = firstRow; row <= lastRow; row += 1) {
      const text = told.shapes[row + 1];
      if (!text || row >= editor.session.getLength()) continue;
      const column = editor.session.getLine(row).length;
      const { left, top } = editor.renderer.$cursorLayer.getPixelPosition({ row, column }, true);
      const node = document.createElement("span");
      node.textContent = text;
      node.style.transform = `translate(${left + 24}px, ${top}px)`;
      nodes.push(node);
    }
    layer.replaceChildren(...nodes);
  });
}

/** A fix as a diff among the lines: those that go are marked, those that come stand below them, and
 * below the last of all what takes it. */
function offered(ace, entry, offer) {
  const { session } = entry.editor;
  const { LineWidgets } = ace.require("ace/line_widgets");
  const { Range } = ace.require("ace/range");
  if (!session.widgetManager) {
    session.widgetManager = new LineWidgets(session);
    session.widgetManager.attach(entry.editor);
  }
  for (const widget of entry.widgets) session.widgetManager.removeLineWidget(widget);
  entry.widgets = (offer?.changes ?? []).map(({ first, last, added }, index, { length }) => {
    if (last >= first) {
      const gone = new Range(first - 1, 0, last - 1, 1);
      entry.markers.push(session.addMarker(gone, "gone", "fullLine"));
    }
    const el = document.createElement("div");
    el.className = "offer";
    const lines = document.createElement("pre");
    // The sign takes the place of indentation, so that the code stands below the code.
    lines.textContent = added.map((line) => `+ ${line.replace(/^ {2}/, "")}`).join("\n");
    el.append(lines);
    if (index === length - 1) el.append(taking(entry, offer));
    const widget = { row: Math.max(0, last - 1), el, fixedWidth: true };
    session.widgetManager.addLineWidget(widget);
    return widget;
  });
}

/** What a fix changes in words, and the button that takes it. */
function taking(entry, offer) {
  const row = document.createElement("div");
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", offer.label);
  const words = document.createElement("span");
  words.textContent = offer.words;
  const apply = document.createElement("button");
  apply.type = "button";
  apply.textContent = offer.apply;
  apply.addEventListener("click", () => entry.take(offer.number));
  // What is pressed here is no text for the editor.
  for (const kind of ["mousedown", "keydown"]) {
    row.addEventListener(kind, (event) => event.stopPropagation());
  }
  row.append(words, apply);
  return row;
}

/** Ace has other signs for the dark. */
function isDark(place) {
  const [red, green, blue] = getComputedStyle(place).color.match(/[\d.]+/g).map(Number);
  return red + green + blue > 382;
}

/** Mark what the latest run told of this text; nothing once the text is another. */
function mark(ace, entry, data) {
  const { editor, told } = entry;
  const { Range } = ace.require("ace/range");
  for (const id of entry.markers) editor.session.removeMarker(id);
  told.marks = data.marks;
  told.shapes = data.shapes;
  entry.markers = data.marks.map((each) =>
    editor.session.addMarker(ranged(Range, each), `marked ${each.kind}`, "text"),
  );
  const types = { failed: "error", root: "warning", way: "info" };
  // One sign for each line: the marks come from the least to the last.
  const rows = new Map(data.marks.map((each) => [each.line, each]));
  editor.session.setAnnotations(
    [...rows.values()].map((each) => ({
      row: each.line - 1,
      column: each.column,
      text: each.text,
      type: types[each.kind],
    })),
  );
  offered(ace, entry, data.offer);
  editor.container.classList.toggle("ace_dark", isDark(editor.container));
  editor.renderer.updateFull();
  const first = data.marks.find((each) => each.kind === "failed") ?? data.marks[0];
  if (first && entry.shown !== data.run) editor.scrollToLine(first.line - 1, true, false);
  entry.shown = data.run;
}

/** A plain field where Ace did not come: nothing is lost. */
function plain(place, data, send) {
  const field = document.createElement("textarea");
  field.value = data.text;
  field.setAttribute("aria-label", data.label);
  field.placeholder = data.placeholder;
  field.addEventListener("change", () => send(field.value));
  place.replaceChildren(field);
}

export default function ({ parentElement, data, setStateValue, setTriggerValue }) {
  const place = parentElement.querySelector(".editor");
  let entry = editors.get(place);
  if (!entry) {
    entry = { count: data.count, markers: [], widgets: [], told: { marks: [], shapes: {} } };
    editors.set(place, entry);
    entry.send = (text) => {
      if (text === entry.sent) return;
      entry.sent = text;
      keep(text, entry.of, entry.data);
      entry.set("text", text);
    };
  }
  entry.set = setStateValue;
  entry.take = (number) => setTriggerValue("fix", number);
  entry.bring = (files) => setTriggerValue("files", files);
  entry.data = data;
  loaded(data.ace)
    .then((ace) => {
      const latest = entry.data;
      if (!entry.editor) {
        entry.sent = latest.text;
        entry.editor = made(ace, place, latest, (text) => entry.send(text));
        hovering(ace, entry.editor, entry.told);
        shapes(entry.editor, entry.told);
        // The page's tests, and whoever opens the console, read the text here.
        place.text = () => entry.editor.getValue();
      }
      if (entry.session !== latest.session) {
        const { text, files } = begun(entry, latest);
        Object.assign(entry, { session: latest.session, sent: latest.text, of: latest.text });
        if (text !== entry.editor.getValue()) entry.editor.setValue(text, -1);
        entry.send(text);
        if (files) entry.bring(files);
      } else if (entry.count !== latest.count) {
        entry.sent = latest.text;
        keep(latest.text, entry.of, latest);
        entry.editor.setValue(latest.text, -1);
      }
      entry.count = latest.count;
      entry.of = latest.ran || entry.of;
      entry.program = latest.program;
      mark(ace, entry, latest);
    })
    .catch(() => plain(place, data, (text) => entry.send(text)));
  return () => {
    if (place.isConnected) return;
    entry.editor?.destroy();
    editors.delete(place);
  };
}
