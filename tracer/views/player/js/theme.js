/** Whether a page is light or dark. */

import { el } from "./dom.js";

/** `wanted` if it is 'light' or 'dark'; else what the page around `node` is, or the system. */
export function themeOf(node, wanted) {
  if (wanted === "light" || wanted === "dark") return wanted;
  // The page around may set its colours by Streamlit's variables: judge by them.
  const colour = getComputedStyle(node).getPropertyValue("--st-background-color").trim();
  if (colour) {
    const probe = el("canvas", { width: "1", height: "1" }).getContext("2d");
    probe.fillStyle = colour;
    probe.fillRect(0, 0, 1, 1);
    const [red, green, blue] = probe.getImageData(0, 0, 1, 1).data;
    return red * 0.3 + green * 0.59 + blue * 0.11 < 128 ? "dark" : "light";
  }
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}
