// Without a server a page goes on: the player needs none.
//
// While the server does not answer, Streamlit lays a dialog over the page and makes all else inert.
// It is closed, and a quiet line says what cannot be done.  When the server is back it is asked for
// the page, of which another server, or one that has forgotten this reader, knows nothing.

const told = WORDS;

if (window.shapewalkAway) window.shapewalkAway(told);
else {
  let words = told;
  let away = false;
  let lost = false;
  const line = document.createElement("p");
  line.id = "away";
  line.setAttribute("role", "status");
  document.body.append(line);
  const app = () => document.querySelector(".stApp");
  const connected = () => app()?.dataset.testConnectionState === "CONNECTED";
  const look = () => {
    if (connected()) {
      // Streamlit itself asks for nothing where the page was whole.
      if (lost) setTimeout(() => window.dispatchEvent(new Event("shapewalk:back")));
      away = lost = false;
    } else {
      lost = true;
      const dialog = document.querySelector("body > [data-testid=stDialog]");
      if (dialog) away = true;
      dialog?.querySelector("button[aria-label=Close]")?.click();
    }
    const text = away ? words : "";
    if (line.textContent === text) return;
    line.textContent = text;
    line.style.colorScheme = getComputedStyle(app() ?? line).colorScheme;
  };
  new MutationObserver(look).observe(document.body, { childList: true });
  new MutationObserver(look).observe(document.querySelector("#root"), {
    attributeFilter: ["data-test-connection-state"],
    subtree: true,
  });
  window.shapewalkAway = (next) => {
    words = next;
    look();
  };
  look();
}
