// A family of lessons on home, which the server has written: one element of the page, for each costs
// time. A click on a card opens its lesson in this page; a new tab is the browser's to open.

const written = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  const family = parentElement.querySelector(".family");
  const text = new TextDecoder().decode(data);
  if (written.get(family) !== text) family.innerHTML = text;
  written.set(family, text);
  family.onclick = (event) => {
    const link = event.target.closest("a");
    const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
    if (link === null || elsewhere) return;
    event.preventDefault();
    setTriggerValue("open", link.dataset.lesson);
  };
}
